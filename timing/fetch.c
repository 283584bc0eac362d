// SPDX-License-Identifier: GPL-2.0-only
#include "fetch.h"

bool fetch_init(struct fetch *fetch, const struct board *board, struct core *core, struct l2 *l2)
{
	*fetch = (struct fetch){ .board = board, .core = core, .l2 = l2, .last = CACHE_NONE };
	return cache_init(&fetch->l1, board->l1i_bytes >> LINE_SHIFT, board->l1i_ways, true);
}

void fetch_free(struct fetch *fetch)
{
	cache_free(&fetch->l1);
}

void fetch_other(struct fetch *fetch, uint32_t line)
{
	bool next = line == fetch->last + 1, dirty;
	uint32_t victim;

	fetch->last = line;
	if (cache_find(&fetch->l1, line) != CACHE_NONE)
		return;
	cache_place(&fetch->l1, line, &victim, &dirty);
	fetch->core->l1i_misses++;
	if (l2_fetch(fetch->l2, line)) {
		if (!next)
			fetch->core->busy_cycles += fetch->board->l2_hit_cycles;
	} else {
		fetch->core->memory_ps += next ? fetch->board->stream_load_ps : fetch->board->fetch_ps;
	}
}

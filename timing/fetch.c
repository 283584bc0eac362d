// SPDX-License-Identifier: GPL-2.0-only
#include "fetch.h"

bool fetch_init(struct fetch *fetch, const struct board *board, struct core *core, struct l2 *l2)
{
	*fetch = (struct fetch){ .board = board, .core = core, .l2 = l2, .last = CACHE_NONE };
	return cache_init(&fetch->l1, board->l1i_bytes >> LINE_SHIFT, board->l1i_ways, true, LINES);
}

void fetch_free(struct fetch *fetch)
{
	cache_free(&fetch->l1);
}

static void fetch_line(struct fetch *fetch, uint32_t line)
{
	bool next = line == fetch->last + 1, dirty;

	fetch->last = line;
	if (cache_use(&fetch->l1, line))
		return;
	cache_place(&fetch->l1, line, &dirty);
	fetch->core->l1i_misses++;
	if (l2_fetch(fetch->l2, line)) {
		if (!next)
			fetch->core->busy_cycles += fetch->board->l2_hit_cycles;
	} else {
		fetch->core->memory_ps += next ? fetch->board->stream_load_ps : fetch->board->fetch_ps;
	}
}

void fetch_each(struct fetch *fetch, struct fetch_lines *block)
{
	uint64_t before = fetch->core->l1i_misses;
	uint32_t i;

	for (i = 0; i < block->n; i++)
		fetch_line(fetch, block->lines[i]);
	/* Where one was missing, another one of the block may have made place for it. */
	block->there = fetch->core->l1i_misses == before ? before : UINT64_MAX;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "l2.h"

bool l2_init(struct l2 *l2, const struct board *board, struct core *core)
{
	l2->core = core;
	return cache_init(&l2->cache, board->l2_bytes >> LINE_SHIFT, board->l2_ways, board->l2_random, LINES);
}

void l2_free(struct l2 *l2)
{
	cache_free(&l2->cache);
}

/* What leaves L2 dirty goes to memory behind the core's back: its bandwidth is part of the streams' numbers. */
static bool fetch(struct l2 *l2, uint32_t line, bool dirty)
{
	bool hit = cache_use(&l2->cache, line), victim_dirty;

	if (!hit)
		cache_place(&l2->cache, line, &victim_dirty);
	if (dirty)
		cache_soil(&l2->cache, line);
	return hit;
}

bool l2_fetch(struct l2 *l2, uint32_t line)
{
	bool hit = fetch(l2, line, false);

	l2->core->l2_misses += !hit;
	return hit;
}

void l2_write_back(struct l2 *l2, uint32_t line)
{
	fetch(l2, line, true);
}

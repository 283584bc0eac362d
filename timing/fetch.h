/* SPDX-License-Identifier: GPL-2.0-only */
/* Instruction fetch: L1I, whose next line is always prefetched. */
#ifndef FETCH_H
#define FETCH_H

#include "l2.h"

struct fetch {
	const struct board *board;
	struct core *core;
	struct l2 *l2;
	struct cache l1;
	uint32_t last;	/* the line fetched last */
};

/* The lines of a block's instructions, in their order. */
struct fetch_lines {
	uint64_t there;	/* the misses of L1I until which they all were there; UINT64_MAX if that was never seen */
	uint32_t n;	/* not 0 */
	uint32_t lines[];
};

bool fetch_init(struct fetch *fetch, const struct board *board, struct core *core, struct l2 *l2);
void fetch_free(struct fetch *fetch);

/* Looks for each line of a block. */
__attribute__((noinline))
void fetch_each(struct fetch *fetch, struct fetch_lines *block);

/*
 * A block is executed. A hit changes nothing in L1I but which line was the last, as its victims are pseudo-random, and only a miss
 * makes a line leave: what was there and has seen no miss since is there still.
 */
static inline void fetch_block(struct fetch *fetch, struct fetch_lines *block)
{
	if (block->there == fetch->core->l1i_misses)
		fetch->last = block->lines[block->n - 1];
	else
		fetch_each(fetch, block);
}

#endif

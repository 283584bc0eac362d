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

bool fetch_init(struct fetch *fetch, const struct board *board, struct core *core, struct l2 *l2);
void fetch_free(struct fetch *fetch);

/* A line of instructions other than the last one. */
void fetch_other(struct fetch *fetch, uint32_t line);

static inline void fetch_line(struct fetch *fetch, uint32_t line)
{
	if (line != fetch->last)
		fetch_other(fetch, line);
}

#endif

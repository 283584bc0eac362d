/* SPDX-License-Identifier: GPL-2.0-only */
/* The second-level cache: physical, unified, filled by every miss of the first level. */
#ifndef L2_H
#define L2_H

#include "board.h"
#include "cache.h"

struct l2 {
	struct cache cache;
	struct core *core;
};

bool l2_init(struct l2 *l2, const struct board *board, struct core *core);
void l2_free(struct l2 *l2);

/* Fetches a line that the first level misses; true if it was there. Else it is brought from memory, and counted as a miss. */
bool l2_fetch(struct l2 *l2, uint32_t line);

/* Takes a dirty line that the first level gives up. */
void l2_write_back(struct l2 *l2, uint32_t line);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory in blocks of one size, in as many chunks as are needed; chunks are never given back. */
#ifndef POOL_H
#define POOL_H

#include <stddef.h>

struct pool {
	size_t size;		/* of a block */
	void *free;		/* the first free block, whose first word points to the next one */
};

/* A pool of blocks that have room for so many bytes. */
struct pool pool_of(size_t bytes);

/* A block that is not initialized, or NULL without memory. */
void *pool_take(struct pool *pool);

void pool_give(struct pool *pool, void *block);

#endif /* POOL_H */

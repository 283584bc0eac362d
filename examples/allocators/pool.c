// SPDX-License-Identifier: GPL-2.0-only
#include "pool.h"

#include <stdalign.h>
#include <stdlib.h>

#define BLOCKS_A_CHUNK 64

struct pool pool_of(size_t bytes)
{
	size_t align = alignof(max_align_t);

	return (struct pool){ .size = (bytes + align - 1) / align * align };
}

static void add_chunk(struct pool *pool)
{
	char *chunk = malloc(BLOCKS_A_CHUNK * pool->size);

	for (size_t i = 0; chunk && i < BLOCKS_A_CHUNK; i++)
		pool_give(pool, chunk + i * pool->size);
}

void *pool_take(struct pool *pool)
{
	void *block;

	if (!pool->free)
		add_chunk(pool);
	block = pool->free;
	if (block)
		pool->free = *(void **)block;
	return block;
}

void pool_give(struct pool *pool, void *block)
{
	*(void **)block = pool->free;
	pool->free = block;
}

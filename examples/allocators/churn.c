// SPDX-License-Identifier: GPL-2.0-only
/*
 * churn ALLOCATOR SIZE COUNT - replace random ones of a thousand blocks COUNT times
 *
 * ALLOCATOR is malloc or pool. Blocks of malloc have random sizes up to SIZE, those of a pool have
 * SIZE. Says how long it takes to free one and get another, and how much memory all of it took
 * from the system.
 *
 * Exit status: 0, or 1 without memory, or 2 for bad arguments.
 */
#include <err.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pool.h"

#define LIVE 1000

static void *blocks[LIVE];
static struct pool pool;

/* xorshift32, Marsaglia 2003: the same numbers in every run. */
static unsigned int next_random(void)
{
	static unsigned int state = 1;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* Writes to a block, as whoever has asked for it does. */
static void *used(void *block)
{
	if (!block)
		errx(1, "no memory");
	*(char *)block = 1;
	return block;
}

static void *from_malloc(size_t size)
{
	return malloc(1 + next_random() % size);
}

static void *from_pool(size_t size)
{
	/* So that both draw as many numbers. */
	(void)(next_random() % size);
	return pool_take(&pool);
}

static void to_pool(void *block)
{
	pool_give(&pool, block);
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

int main(int argc, char **argv)
{
	long size = argc == 4 ? atol(argv[2]) : 0;
	long count = argc == 4 ? atol(argv[3]) : 0;
	void *(*take)(size_t size) = from_malloc;
	void (*give)(void *block) = free;
	struct mallinfo2 heap;
	double start, took_ns;

	if (size < 1 || count < 1 || (strcmp(argv[1], "malloc") && strcmp(argv[1], "pool"))) {
		fprintf(stderr, "usage: churn malloc|pool SIZE COUNT\n");
		return 2;
	}
	if (!strcmp(argv[1], "pool")) {
		take = from_pool;
		give = to_pool;
	}
	pool = pool_of(size);
	for (size_t i = 0; i < LIVE; i++)
		blocks[i] = used(take(size));

	start = now_ns();
	for (long i = 0; i < count; i++) {
		void **block = &blocks[next_random() % LIVE];

		give(*block);
		*block = used(take(size));
	}
	took_ns = now_ns() - start;

	/* A pool's chunks are of malloc, too. */
	heap = mallinfo2();
	printf("replace: %.1f ns\n", took_ns / count);
	printf("memory: %zu KiB\n", (heap.arena + heap.hblkhd) / 1024);
	return 0;
}

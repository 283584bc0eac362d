// SPDX-License-Identifier: GPL-2.0-only
#include "../cache.h"
#include "check.h"

enum { TAGS = 4001 };	/* that are used here */

static uint32_t place(struct cache *cache, uint32_t tag)
{
	bool dirty;

	return cache_place(cache, tag, &dirty);
}

/* How many of a small cache's entries have a tag. */
static uint32_t entries_with(const struct cache *cache, uint32_t tag)
{
	uint32_t n = 0;

	for (uint32_t at = 0; at < cache->sets * cache->ways; at++)
		n += cache->tags[at] == tag;
	return n;
}

static void the_least_recently_used_goes(void)
{
	struct cache cache;

	/* 8 entries in 4 ways are 2 sets: even tags in one, odd ones in the other. */
	EXPECT(cache_init(&cache, 8, 4, false, TAGS), true);
	for (uint32_t tag = 0; tag < 8; tag++)
		EXPECT(place(&cache, tag), CACHE_NONE);
	EXPECT(cache_use(&cache, 0), true);
	EXPECT(cache_use(&cache, 8), false);
	EXPECT(place(&cache, 8), 2);	/* 0 was used since, 2 was not */
	EXPECT(place(&cache, 10), 4);
	EXPECT(place(&cache, 12), 6);
	EXPECT(place(&cache, 14), 0);
	EXPECT(place(&cache, 9), 1);	/* the other set has not been touched */
	cache_free(&cache);
}

static void empty_ways_come_first(void)
{
	struct cache cache;

	EXPECT(cache_init(&cache, 4, 4, true, TAGS), true);
	for (uint32_t tag = 0; tag < 4; tag++)
		EXPECT(place(&cache, tag), CACHE_NONE);
	EXPECT(place(&cache, 4) < 4, true);
	cache_free(&cache);
}

static void random_victims_are_the_same_each_time_and_spread(void)
{
	uint32_t victims[2][4000], of_way[4] = { 0 };
	struct cache cache;

	for (int run = 0; run < 2; run++) {
		EXPECT(cache_init(&cache, 4, 4, true, TAGS), true);
		for (uint32_t tag = 0; tag < 4000; tag++) {
			uint32_t way = 0;

			victims[run][tag] = place(&cache, tag);
			while (cache.tags[way] != tag)
				way++;
			of_way[way]++;
		}
		cache_free(&cache);
	}
	for (int i = 0; i < 4000; i++)
		EXPECT(victims[0][i], victims[1][i]);
	/* 2000 a way on average; 5 standard deviations of a binomial distribution are 194. */
	for (int way = 0; way < 4; way++)
		EXPECT(of_way[way] > 1806 && of_way[way] < 2194, true);
}

static void a_victim_tells_whether_it_was_dirty(void)
{
	struct cache cache;
	bool dirty;

	EXPECT(cache_init(&cache, 1, 1, true, TAGS), true);
	EXPECT(cache_place(&cache, 7, &dirty), CACHE_NONE);
	EXPECT(dirty, false);
	cache_soil(&cache, 7);
	EXPECT(cache_place(&cache, 8, &dirty), 7);
	EXPECT(dirty, true);
	EXPECT(cache_row(&cache, 8)->dirty, 0);
	EXPECT(cache_place(&cache, 7, &dirty), 8);	/* it comes back clean */
	EXPECT(dirty, false);
	EXPECT(cache_row(&cache, 7)->dirty, 0);
	cache_free(&cache);
}

static bool odd(uint32_t tag)
{
	return tag & 1;
}

static void what_is_dropped_is_gone(void)
{
	struct cache cache;

	EXPECT(cache_init(&cache, 8, 4, true, TAGS), true);
	for (uint32_t tag = 0; tag < 8; tag++)
		place(&cache, tag);
	cache_drop(&cache, odd);
	for (uint32_t tag = 0; tag < 8; tag++)
		EXPECT(cache_has(&cache, tag), !odd(tag));
	cache_free(&cache);
}

/* Whatever happens, the bits say what the entries do. */
static void bits_and_entries_are_one(void)
{
	struct dice dice = { 1 };
	struct cache cache;

	for (int random = 0; random < 2; random++) {
		EXPECT(cache_init(&cache, 24, 3, random, TAGS), true);
		for (int step = 0; step < 20000; step++) {
			uint32_t tag = dice_roll(&dice) % 200;

			EXPECT(cache_use(&cache, tag), entries_with(&cache, tag));
			if (!cache_has(&cache, tag))
				place(&cache, tag);
			EXPECT(cache_has(&cache, tag), true);
			if (step % 500 == 0)
				cache_drop(&cache, odd);
			if (step % 100)
				continue;
			for (tag = 0; tag < 200; tag++)
				EXPECT(cache_has(&cache, tag), entries_with(&cache, tag));
		}
		cache_free(&cache);
	}
}

int main(void)
{
	the_least_recently_used_goes();
	empty_ways_come_first();
	random_victims_are_the_same_each_time_and_spread();
	a_victim_tells_whether_it_was_dirty();
	what_is_dropped_is_gone();
	bits_and_entries_are_one();
	return 0;
}

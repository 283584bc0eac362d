// SPDX-License-Identifier: GPL-2.0-only
#include "../cache.h"
#include "check.h"

static uint32_t place(struct cache *cache, uint32_t tag)
{
	uint32_t victim;
	bool dirty;

	cache_place(cache, tag, &victim, &dirty);
	return victim;
}

static void the_least_recently_used_goes(void)
{
	struct cache cache;

	/* 8 entries in 4 ways are 2 sets: even tags in one, odd ones in the other. */
	EXPECT(cache_init(&cache, 8, 4, false), true);
	for (uint32_t tag = 0; tag < 8; tag++)
		EXPECT(place(&cache, tag), CACHE_NONE);
	EXPECT(cache_find(&cache, 0) != CACHE_NONE, true);
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

	EXPECT(cache_init(&cache, 4, 4, true), true);
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
		EXPECT(cache_init(&cache, 4, 4, true), true);
		for (uint32_t tag = 0; tag < 4000; tag++) {
			uint32_t victim;
			bool dirty;
			uint32_t at = cache_place(&cache, tag, &victim, &dirty);

			victims[run][tag] = victim;
			of_way[at]++;
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
	uint32_t at, victim;
	bool dirty;

	EXPECT(cache_init(&cache, 1, 1, true), true);
	at = cache_place(&cache, 7, &victim, &dirty);
	EXPECT(dirty, false);
	cache.dirty[at] = 1;
	at = cache_place(&cache, 8, &victim, &dirty);
	EXPECT(victim, 7);
	EXPECT(dirty, true);
	EXPECT(cache.dirty[at], 0);
	cache_free(&cache);
}

static bool odd(uint32_t tag)
{
	return tag & 1;
}

static void what_is_dropped_is_gone(void)
{
	struct cache cache;

	EXPECT(cache_init(&cache, 8, 4, true), true);
	for (uint32_t tag = 0; tag < 8; tag++)
		place(&cache, tag);
	cache_drop(&cache, odd);
	for (uint32_t tag = 0; tag < 8; tag++)
		EXPECT(cache_find(&cache, tag) == CACHE_NONE, odd(tag));
	cache_free(&cache);
}

int main(void)
{
	the_least_recently_used_goes();
	empty_ways_come_first();
	random_victims_are_the_same_each_time_and_spread();
	a_victim_tells_whether_it_was_dirty();
	what_is_dropped_is_gone();
	return 0;
}

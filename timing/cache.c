// SPDX-License-Identifier: GPL-2.0-only
#include "cache.h"

#include <stdlib.h>
#include <string.h>

bool cache_init(struct cache *cache, uint32_t entries, uint32_t ways, bool random)
{
	*cache = (struct cache){ .sets = entries / ways, .ways = ways, .empty = entries, .random = random, .dice = { 2463534242u } };
	cache->tags = malloc(entries * sizeof(*cache->tags));
	cache->used = calloc(entries, sizeof(*cache->used));
	cache->dirty = calloc(entries, sizeof(*cache->dirty));
	if (!cache->tags || !cache->used || !cache->dirty) {
		cache_free(cache);
		return false;
	}
	memset(cache->tags, 0xff, entries * sizeof(*cache->tags));
	return true;
}

void cache_free(struct cache *cache)
{
	free(cache->tags);
	free(cache->used);
	free(cache->dirty);
}

/* Four tags at a time, which compilers turn into what the host can do with four numbers at once. */
typedef uint32_t tags4 __attribute__((vector_size(16), aligned(4)));

static uint32_t find_in(const uint32_t *tags, uint32_t ways, uint32_t tag)
{
	uint32_t way = 0;

	for (; way + 4 <= ways; way += 4) {
		const tags4 equal = *(const tags4 *)(tags + way) == tag;
		uint64_t low, high;

		memcpy(&low, &equal, sizeof(low));
		memcpy(&high, (const char *)&equal + sizeof(low), sizeof(high));
		if (low | high)
			break;
	}
	for (; way < ways; way++)
		if (tags[way] == tag)
			return way;
	return CACHE_NONE;
}

uint32_t cache_find(struct cache *cache, uint32_t tag)
{
	uint32_t first = (tag & (cache->sets - 1)) * cache->ways;
	uint32_t way = find_in(cache->tags + first, cache->ways, tag);

	if (way == CACHE_NONE)
		return CACHE_NONE;
	if (!cache->random)
		cache->used[first + way] = ++cache->uses;
	return first + way;
}

/* Most numbers of ways are powers of two, of which a mask is as good as a division and faster. */
static uint32_t roll_way(struct cache *cache)
{
	uint32_t roll = dice_roll(&cache->dice);

	return cache->ways & (cache->ways - 1) ? roll % cache->ways : roll & (cache->ways - 1);
}

static uint32_t choose(struct cache *cache, uint32_t first)
{
	uint32_t way = cache->empty ? find_in(cache->tags + first, cache->ways, CACHE_NONE) : CACHE_NONE, each;

	if (way != CACHE_NONE)
		return way;
	if (cache->random)
		return roll_way(cache);
	for (way = 0, each = 1; each < cache->ways; each++)
		if (cache->used[first + each] < cache->used[first + way])
			way = each;
	return way;
}

uint32_t cache_place(struct cache *cache, uint32_t tag, uint32_t *victim, bool *victim_dirty)
{
	uint32_t first = (tag & (cache->sets - 1)) * cache->ways;
	uint32_t at = first + choose(cache, first);

	*victim = cache->tags[at];
	cache->empty -= *victim == CACHE_NONE;
	*victim_dirty = cache->dirty[at];
	cache->tags[at] = tag;
	cache->dirty[at] = 0;
	cache->used[at] = ++cache->uses;
	return at;
}

void cache_drop(struct cache *cache, bool (*drop)(uint32_t tag))
{
	uint32_t at;

	for (at = 0; at < cache->sets * cache->ways; at++) {
		if (cache->tags[at] != CACHE_NONE && drop(cache->tags[at])) {
			cache->tags[at] = CACHE_NONE;
			cache->empty++;
		}
	}
}

// SPDX-License-Identifier: GPL-2.0-only
#include "cache.h"

#include <stdlib.h>
#include <string.h>

bool cache_init(struct cache *cache, uint32_t entries, uint32_t ways, bool random, uint32_t tags)
{
	*cache = (struct cache){ .sets = entries / ways, .ways = ways, .empty = entries, .random = random, .dice = { 2463534242u } };
	cache->rows = calloc(tags / 64 + 1, sizeof(*cache->rows));
	cache->tags = malloc(entries * sizeof(*cache->tags));
	cache->used = calloc(entries, sizeof(*cache->used));
	if (!cache->rows || !cache->tags || !cache->used) {
		cache_free(cache);
		return false;
	}
	memset(cache->tags, 0xff, entries * sizeof(*cache->tags));
	return true;
}

void cache_free(struct cache *cache)
{
	free(cache->rows);
	free(cache->tags);
	free(cache->used);
}

/* The index of the first way of a tag's set. */
static uint32_t set_of(const struct cache *cache, uint32_t tag)
{
	return (tag & (cache->sets - 1)) * cache->ways;
}

/* The index of what is in a set: a tag, or CACHE_NONE for its first empty way; CACHE_NONE if it is not there. */
static uint32_t find_in(const struct cache *cache, uint32_t first, uint32_t what)
{
	uint32_t at;

	for (at = first; at < first + cache->ways; at++)
		if (cache->tags[at] == what)
			return at;
	return CACHE_NONE;
}

bool cache_use(struct cache *cache, uint32_t tag)
{
	if (!cache_has(cache, tag))
		return false;
	if (!cache->random)
		cache->used[find_in(cache, set_of(cache, tag), tag)] = ++cache->uses;
	return true;
}

/* Most numbers of ways are powers of two, of which a mask is as good as a division and faster. */
static uint32_t roll_way(struct cache *cache)
{
	uint32_t roll = dice_roll(&cache->dice);

	return cache->ways & (cache->ways - 1) ? roll % cache->ways : roll & (cache->ways - 1);
}

/* The index of the way of a set that a new tag takes. */
static uint32_t choose(struct cache *cache, uint32_t first)
{
	uint32_t at = cache->empty ? find_in(cache, first, CACHE_NONE) : CACHE_NONE, each;

	if (at != CACHE_NONE)
		return at;
	if (cache->random)
		return first + roll_way(cache);
	for (at = first, each = first + 1; each < first + cache->ways; each++)
		if (cache->used[each] < cache->used[at])
			at = each;
	return at;
}

/* A tag leaves; true if it was dirty. */
static bool forget(struct cache *cache, uint32_t tag)
{
	struct cache_row *row = cache_row(cache, tag);
	bool dirty = row->dirty & cache_bit(tag);

	row->held &= ~cache_bit(tag);
	row->dirty &= ~cache_bit(tag);
	return dirty;
}

uint32_t cache_place(struct cache *cache, uint32_t tag, bool *victim_dirty)
{
	uint32_t at = choose(cache, set_of(cache, tag));
	uint32_t victim = cache->tags[at];

	if (victim == CACHE_NONE) {
		cache->empty--;
		*victim_dirty = false;
	} else {
		*victim_dirty = forget(cache, victim);
	}
	cache->tags[at] = tag;
	cache_row(cache, tag)->held |= cache_bit(tag);
	if (!cache->random)
		cache->used[at] = ++cache->uses;
	return victim;
}

void cache_drop(struct cache *cache, bool (*drop)(uint32_t tag))
{
	uint32_t at;

	for (at = 0; at < cache->sets * cache->ways; at++) {
		uint32_t tag = cache->tags[at];

		if (tag != CACHE_NONE && drop(tag)) {
			forget(cache, tag);
			cache->tags[at] = CACHE_NONE;
			cache->empty++;
		}
	}
}

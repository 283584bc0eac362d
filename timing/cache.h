/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A set-associative memory of tags, for caches (tags are lines) and TLBs (tags are pages), with the victims' choice.
 *
 * Beside the sets, from which victims are chosen, there is a bit for each tag that may be: whether it is there is one look at one
 * word, however many ways there are. Hits are by far the most of what happens.
 */
#ifndef CACHE_H
#define CACHE_H

#include <stdbool.h>

#include "core.h"

#define CACHE_NONE UINT32_MAX	/* no tag */

/* Of 64 consecutive tags, a bit each: those that are there, and which of them are dirty. */
struct cache_row {
	uint64_t held, dirty;
};

struct cache {
	uint32_t sets, ways;	/* sets is a power of two */
	uint32_t empty;		/* entries that are: where there is none, none is looked for */
	bool random;		/* pseudo-random victims; least recently used ones otherwise */
	struct dice dice;
	struct cache_row *rows;	/* by tag / 64 */
	uint32_t *tags;		/* sets x ways, CACHE_NONE where empty */
	uint64_t *used;		/* when each was used last, if victims are those least recently used */
	uint64_t uses;
};

/* Empty, for tags below a number; false without memory. The rows of tags that never come take no memory of the host. */
bool cache_init(struct cache *cache, uint32_t entries, uint32_t ways, bool random, uint32_t tags);
void cache_free(struct cache *cache);

static inline struct cache_row *cache_row(const struct cache *cache, uint32_t tag)
{
	return &cache->rows[tag / 64];
}

/* A tag's bit in its row. */
static inline uint64_t cache_bit(uint32_t tag)
{
	return (uint64_t)1 << tag % 64;
}

static inline bool cache_has(const struct cache *cache, uint32_t tag)
{
	return cache_row(cache, tag)->held & cache_bit(tag);
}

/* Uses a tag, if it is there. */
bool cache_use(struct cache *cache, uint32_t tag);

/* A tag that is there becomes dirty. */
static inline void cache_soil(struct cache *cache, uint32_t tag)
{
	cache_row(cache, tag)->dirty |= cache_bit(tag);
}

/* Puts a tag that is not there into an empty way of its set or in the place of a victim, clean. The victim's tag, or CACHE_NONE. */
uint32_t cache_place(struct cache *cache, uint32_t tag, bool *victim_dirty);

/* Empties all entries of which drop(tag) says so. */
void cache_drop(struct cache *cache, bool (*drop)(uint32_t tag));

#endif

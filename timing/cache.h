/* SPDX-License-Identifier: GPL-2.0-only */
/* A set-associative memory of tags, for caches (tags are lines) and TLBs (tags are pages), with the victims' choice. */
#ifndef CACHE_H
#define CACHE_H

#include <stdbool.h>

#include "core.h"

#define CACHE_NONE UINT32_MAX	/* no tag, no way */

struct cache {
	uint32_t sets, ways;	/* sets is a power of two */
	uint32_t empty;		/* entries that are: where there is none, none is looked for */
	bool random;		/* pseudo-random victims; least recently used ones otherwise */
	struct dice dice;
	uint32_t *tags;		/* sets x ways, CACHE_NONE where empty */
	uint64_t *used;		/* when each was used last, if victims are those least recently used */
	uint64_t uses;
	uint8_t *dirty;		/* sets x ways */
};

/* Empty; false without memory. */
bool cache_init(struct cache *cache, uint32_t entries, uint32_t ways, bool random);
void cache_free(struct cache *cache);

/* The index of a tag in the arrays, or CACHE_NONE. */
uint32_t cache_find(struct cache *cache, uint32_t tag);

/* Puts a tag that is not there into an empty way of its set or in the place of a victim, clean; *victim is its tag or CACHE_NONE. */
uint32_t cache_place(struct cache *cache, uint32_t tag, uint32_t *victim, bool *victim_dirty);

/* Empties all entries of which drop(tag) says so. */
void cache_drop(struct cache *cache, bool (*drop)(uint32_t tag));

#endif

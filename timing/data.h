/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Data accesses: micro-TLB, main TLB with its walks, L1D, and what their misses cost.
 *
 * Each entry of the micro-TLB knows which lines of its page are in L1D, and which of them are dirty there. A hit is then one look at
 * one entry. That is exact where a hit changes nothing in the cache, as with pseudo-random victims, which both cores have.
 */
#ifndef DATA_H
#define DATA_H

#include "l2.h"

enum access {
	ACCESS_AFTER,	/* a load whose result is used before another load is issued: its miss is waited for */
	ACCESS_BESIDE,	/* a load that is issued while the one before it may still be under way */
	ACCESS_FROM,	/* a load whose address is what another load has just brought, as in a chase of pointers */
	ACCESS_STORE,
	/*
	 * Added to a load that is the first of its block: whether it is beside another depends on the block before, which
	 * data_enter() knows.
	 */
	ACCESS_FIRST = 4,
};

/* What one block's loads are to those of the next. */
struct loads {
	bool any;
	uint64_t before;	/* registers read up to and by the first load, or by all instructions if there is none */
	uint64_t open;		/* registers that the last load brings and that nothing behind it reads */
};

/* The frame of the page in which an address lies; false if there is no memory, but a device. */
typedef bool (*frame_fn)(void *context, uint32_t address, uint32_t *frame);

enum {
	DATA_PAGES = 64,	/* the most that a micro-TLB may have */
	DATA_SLOTS = 1024,	/* of the index by page, a power of two */
	DATA_STREAMS = 8,	/* runs of consecutive lines that are followed at a time */
};

struct data_page {
	uint64_t present, dirty;	/* a bit a line of the page */
	uint32_t page;
	uint32_t unused[3];		/* an address is computed faster with a size that is a power of two */
};

struct data {
	const struct board *board;
	struct core *core;
	struct l2 *l2;
	struct cache l1;
	struct cache tlb;
	uint32_t *tlb_frames;		/* of the TLB's entries */
	struct data_page pages[DATA_PAGES + 1];	/* the micro-TLB, and one entry that never matches */
	uint32_t frames[DATA_PAGES];		/* of its entries */
	uint32_t next_page;
	uint8_t slots[DATA_SLOTS];
	uint32_t streams[DATA_STREAMS];	/* the line that would continue each */
	uint32_t next_stream;
	bool l1_missed, l2_missed;	/* by the last load */
	uint64_t open;			/* registers that it brings, as long as nothing has waited for them */
	bool beside;			/* whether the first load of the block would not wait for it */
};

bool data_init(struct data *data, const struct board *board, struct core *core, struct l2 *l2);
void data_free(struct data *data);

/* An access that data_hits() has not taken; apart, so that one which it takes is short. */
__attribute__((noinline))
void data_miss(struct data *data, uint32_t address, enum access access, frame_fn frame_of, void *context);

/* Whether an access of this address hits in micro-TLB and L1D, and changes nothing there. */
static inline bool data_hits(struct data *data, uint32_t address, bool store)
{
	uint32_t page = address >> PAGE_SHIFT;
	const struct data_page *entry = &data->pages[data->slots[page & (DATA_SLOTS - 1)]];
	uint64_t lines = store ? entry->dirty : entry->present;

	return entry->page == page && (lines >> (address >> LINE_SHIFT & (LINES_PER_PAGE - 1)) & 1);
}

/* The same for a load; one that hits is no miss for another to be beside of. */
static inline bool data_load_hits(struct data *data, uint32_t address)
{
	if (!data_hits(data, address, false))
		return false;
	data->l1_missed = false;
	return true;
}

/* A block begins. */
static inline void data_enter(struct data *data, const struct loads *loads)
{
	bool waits = data->open & loads->before;

	data->beside = data->open && !waits;
	if (loads->any || waits)
		data->open = loads->open;
}

/* TLB invalidation. The kernel's linear mapping of memory is made of sections that never change, so users' entries are those that go. */
void data_drop_all(struct data *data);
void data_drop_user(struct data *data);

#endif

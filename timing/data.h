/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Data accesses: micro-TLB, main TLB with its walks, L1D, and what their misses cost.
 *
 * What the micro-TLB knows of a page is found by the page, and what L1D holds of a frame by the frame: a hit is two looks, and no
 * search. That is exact as a hit changes nothing there: the micro-TLB's victim is its oldest entry, L1D's a pseudo-random one.
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
	DATA_STREAMS = 8,	/* runs of consecutive lines that are followed at a time */
};

struct data {
	const struct board *board;
	struct core *core;
	struct l2 *l2;
	struct cache l1;		/* a row of its tags is a frame */
	struct cache tlb;
	uint32_t *tlb_frames;		/* by tag of the TLB: the frame of those that it has */
	uint32_t *frames;		/* by page: a frame's number and 1, or 0 of those that the micro-TLB does not have */
	uint32_t pages[DATA_PAGES];	/* that it has, or CACHE_NONE */
	uint32_t next_page;		/* which of them goes next */
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
	uint32_t frame = data->frames[address >> PAGE_SHIFT];
	const struct cache_row *lines;

	if (!frame)
		return false;
	lines = &data->l1.rows[frame - 1];
	return (store ? lines->dirty : lines->held) >> (address >> LINE_SHIFT) % 64 & 1;
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

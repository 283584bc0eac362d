// SPDX-License-Identifier: GPL-2.0-only
#include "data.h"

#include <stdlib.h>
#include <string.h>

/*
 * Linux for 32-bit ARM maps the memory that it uses itself (lowmem) at 0xc0000000 in sections of 1 MiB; device memory and modules
 * follow or precede it in pages. See Documentation/arm/memory.rst of Linux, with the usual split of 3 GiB.
 */
#define LOWMEM_FIRST 0xc0000u
#define LOWMEM_END 0xf0000u
#define SECTION_PAGES 0x100u
#define SECTION_TAG 0x80000000u

static bool in_lowmem(uint32_t page)
{
	return page >= LOWMEM_FIRST && page < LOWMEM_END;
}

static uint32_t tlb_tag(uint32_t page)
{
	return in_lowmem(page) ? page / SECTION_PAGES | SECTION_TAG : page;
}

static void forget_page(struct data *data, uint32_t at)
{
	data->pages[at] = (struct data_page){ .page = CACHE_NONE };
	if (at < data->board->utlb_entries)
		data->frames[at] = CACHE_NONE;
}

bool data_init(struct data *data, const struct board *board, struct core *core, struct l2 *l2)
{
	uint32_t i;

	*data = (struct data){ .board = board, .core = core, .l2 = l2 };
	memset(data->streams, 0xff, sizeof(data->streams));
	memset(data->slots, board->utlb_entries, sizeof(data->slots));
	data->tlb_frames = calloc(board->tlb_entries, sizeof(*data->tlb_frames));
	if (!data->tlb_frames || !cache_init(&data->l1, board->l1d_bytes >> LINE_SHIFT, board->l1d_ways, true) ||
	    !cache_init(&data->tlb, board->tlb_entries, board->tlb_ways, true)) {
		data_free(data);
		return false;
	}
	for (i = 0; i <= board->utlb_entries; i++)
		forget_page(data, i);
	return true;
}

void data_free(struct data *data)
{
	free(data->tlb_frames);
	cache_free(&data->l1);
	cache_free(&data->tlb);
}

/* The TLB's entry of a page, after a walk if it has none; CACHE_NONE if the page is no memory. */
static uint32_t translate(struct data *data, uint32_t address, frame_fn frame_of, void *context)
{
	uint32_t page = address >> PAGE_SHIFT, tag = tlb_tag(page), frame, victim;
	uint32_t at = cache_find(&data->tlb, tag);
	bool dirty;

	if (at != CACHE_NONE)
		return at;
	if (!frame_of(context, address, &frame))
		return CACHE_NONE;
	data->core->tlb_walks++;
	data->core->busy_cycles += data->board->walk_cycles;
	data->core->memory_ps += data->board->walk_ps;
	at = cache_place(&data->tlb, tag, &victim, &dirty);
	data->tlb_frames[at] = in_lowmem(page) ? frame - page % SECTION_PAGES : frame;
	return at;
}

static uint32_t find_page(const struct data *data, uint32_t page)
{
	uint32_t i;

	for (i = 0; i < data->board->utlb_entries; i++)
		if (data->pages[i].page == page)
			return i;
	return CACHE_NONE;
}

/* The index of an address's entry of the micro-TLB, in the place of the oldest one if there is none; CACHE_NONE if it is no memory. */
static uint32_t look_up(struct data *data, uint32_t address, frame_fn frame_of, void *context)
{
	uint32_t page = address >> PAGE_SHIFT, at, in_tlb;
	uint8_t *slot = &data->slots[page & (DATA_SLOTS - 1)];

	if (data->pages[*slot].page == page)
		return *slot;
	at = find_page(data, page);
	if (at == CACHE_NONE) {
		in_tlb = translate(data, address, frame_of, context);
		if (in_tlb == CACHE_NONE)
			return CACHE_NONE;
		data->core->utlb_misses++;
		data->core->busy_cycles += data->board->utlb_miss_cycles;
		at = data->next_page++;
		if (data->next_page == data->board->utlb_entries)
			data->next_page = 0;
		forget_page(data, at);
		data->pages[at].page = page;
		data->frames[at] = data->tlb_frames[in_tlb] + (in_lowmem(page) ? page % SECTION_PAGES : 0);
	}
	*slot = at;
	return at;
}

/* Whether a line continues a run of consecutive lines, as the prefetcher sees it; it does from now on, or begins one. */
static bool in_stream(struct data *data, uint32_t line)
{
	uint32_t i;

	for (i = 0; i < DATA_STREAMS; i++) {
		if (data->streams[i] == line) {
			data->streams[i] = line + 1;
			return true;
		}
	}
	data->streams[data->next_stream++ % DATA_STREAMS] = line + 1;
	return false;
}

/* What a load waits for that misses in L1D. */
static void wait_for(struct data *data, enum access access, bool stream, bool l2_hit)
{
	const struct board *board = data->board;
	struct core *core = data->core;
	bool beside = access == ACCESS_BESIDE && data->l1_missed;
	/* The word that was waited for comes first; the rest of its line keeps L1D busy for a while. */
	bool behind = access == ACCESS_FROM && data->l1_missed;

	if (stream && l2_hit)
		core->busy_cycles += board->l2_stream_cycles;
	else if (stream)
		core->memory_ps += board->stream_load_ps;
	else
		core->busy_cycles += beside ? board->l2_beside_cycles :
				     board->l2_hit_cycles + (behind ? board->l2_from_cycles : 0);
	if (!stream && !l2_hit)
		core->memory_ps += beside && data->l2_missed ? board->dram_beside_ps : board->dram_ps;
	data->l1_missed = !stream;
	data->l2_missed = !stream && !l2_hit;
}

/* A line leaves L1D: no entry of the micro-TLB may say any longer that it is there. */
static void evict(struct data *data, uint32_t line, bool dirty)
{
	uint64_t others = ~((uint64_t)1 << line % LINES_PER_PAGE);
	uint32_t i;

	for (i = 0; i < data->board->utlb_entries; i++) {
		if (data->frames[i] == line / LINES_PER_PAGE) {
			data->pages[i].present &= others;
			data->pages[i].dirty &= others;
		}
	}
	if (dirty)
		l2_write_back(data->l2, line);
}

static uint32_t fill(struct data *data, uint32_t line, enum access access)
{
	bool stream = in_stream(data, line), victim_dirty, l2_hit;
	uint32_t victim, at;

	data->core->l1d_misses++;
	at = cache_place(&data->l1, line, &victim, &victim_dirty);
	if (victim != CACHE_NONE)
		evict(data, victim, victim_dirty);
	l2_hit = l2_fetch(data->l2, line);
	if (access != ACCESS_STORE)
		wait_for(data, access, stream, l2_hit);
	else if (!l2_hit)	/* the store buffer waits in the core's place, but for memory's bandwidth */
		data->core->memory_ps += stream ? data->board->stream_store_ps : data->board->store_ps;
	return at;
}

void data_miss(struct data *data, uint32_t address, enum access access, frame_fn frame_of, void *context)
{
	uint32_t page = look_up(data, address, frame_of, context), line, at;
	uint64_t bit = (uint64_t)1 << (address >> LINE_SHIFT & (LINES_PER_PAGE - 1));

	if (page == CACHE_NONE)
		return;
	if (access & ACCESS_FIRST)
		access = data->beside ? ACCESS_BESIDE : access & ~ACCESS_FIRST;
	line = data->frames[page] * LINES_PER_PAGE + (address >> LINE_SHIFT & (LINES_PER_PAGE - 1));
	at = cache_find(&data->l1, line);
	if (at == CACHE_NONE)
		at = fill(data, line, access);
	else if (access != ACCESS_STORE)
		data->l1_missed = false;
	data->l1.dirty[at] |= access == ACCESS_STORE;
	data->pages[page].present |= bit;
	if (data->l1.dirty[at])
		data->pages[page].dirty |= bit;
}

static bool any_tag(uint32_t tag)
{
	(void)tag;
	return true;
}

static bool user_tag(uint32_t tag)
{
	return !(tag & SECTION_TAG);
}

void data_drop_all(struct data *data)
{
	uint32_t i;

	cache_drop(&data->tlb, any_tag);
	for (i = 0; i < data->board->utlb_entries; i++)
		forget_page(data, i);
}

void data_drop_user(struct data *data)
{
	uint32_t i;

	cache_drop(&data->tlb, user_tag);
	for (i = 0; i < data->board->utlb_entries; i++)
		if (!in_lowmem(data->pages[i].page))
			forget_page(data, i);
}

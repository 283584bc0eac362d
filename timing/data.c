// SPDX-License-Identifier: GPL-2.0-only
#include "data.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(LINES_PER_PAGE == 64, "a row of a cache has the lines of one frame");

/*
 * Linux for 32-bit ARM maps the memory that it uses itself (lowmem) at 0xc0000000 in sections of 1 MiB; device memory and modules
 * follow or precede it in pages. See Documentation/arm/memory.rst of Linux, with the usual split of 3 GiB.
 */
#define LOWMEM_FIRST 0xc0000u
#define LOWMEM_END 0xf0000u
#define SECTION_PAGES 0x100u

/* The main TLB's tags: pages, and behind them sections. */
#define TLB_TAGS (PAGES + PAGES / SECTION_PAGES)

static bool in_lowmem(uint32_t page)
{
	return page >= LOWMEM_FIRST && page < LOWMEM_END;
}

static uint32_t tlb_tag(uint32_t page)
{
	return in_lowmem(page) ? PAGES + page / SECTION_PAGES : page;
}

/* Empties an entry of the micro-TLB. */
static void forget_page(struct data *data, uint32_t at)
{
	if (data->pages[at] != CACHE_NONE)
		data->frames[data->pages[at]] = 0;
	data->pages[at] = CACHE_NONE;
}

bool data_init(struct data *data, const struct board *board, struct core *core, struct l2 *l2)
{
	*data = (struct data){ .board = board, .core = core, .l2 = l2 };
	memset(data->streams, 0xff, sizeof(data->streams));
	memset(data->pages, 0xff, sizeof(data->pages));
	data->tlb_frames = calloc(TLB_TAGS, sizeof(*data->tlb_frames));
	data->frames = calloc(PAGES, sizeof(*data->frames));
	if (!data->tlb_frames || !data->frames ||
	    !cache_init(&data->l1, board->l1d_bytes >> LINE_SHIFT, board->l1d_ways, true, LINES) ||
	    !cache_init(&data->tlb, board->tlb_entries, board->tlb_ways, true, TLB_TAGS)) {
		data_free(data);
		return false;
	}
	return true;
}

void data_free(struct data *data)
{
	free(data->tlb_frames);
	free(data->frames);
	cache_free(&data->l1);
	cache_free(&data->tlb);
}

/* Finds the frame of an address by the main TLB, after a walk if that does not have it; false if it is no memory. */
static bool translate(struct data *data, uint32_t address, frame_fn frame_of, void *context, uint32_t *frame)
{
	uint32_t page = address >> PAGE_SHIFT, tag = tlb_tag(page), in_section = in_lowmem(page) ? page % SECTION_PAGES : 0;
	bool dirty;

	if (!cache_use(&data->tlb, tag)) {
		if (!frame_of(context, address, frame))
			return false;
		data->core->tlb_walks++;
		data->core->busy_cycles += data->board->walk_cycles;
		data->core->memory_ps += data->board->walk_ps;
		cache_place(&data->tlb, tag, &dirty);
		data->tlb_frames[tag] = *frame - in_section;
	}
	/* Where there is less memory than lowmem has addresses, something else is mapped there: a number that is wrong, but in range. */
	*frame = (data->tlb_frames[tag] + in_section) % PAGES;
	return true;
}

/* The same by the micro-TLB, of which the oldest entry goes if it does not have the page. */
static bool look_up(struct data *data, uint32_t address, frame_fn frame_of, void *context, uint32_t *frame)
{
	uint32_t page = address >> PAGE_SHIFT;

	if (data->frames[page]) {
		*frame = data->frames[page] - 1;
		return true;
	}
	if (!translate(data, address, frame_of, context, frame))
		return false;
	data->core->utlb_misses++;
	data->core->busy_cycles += data->board->utlb_miss_cycles;
	forget_page(data, data->next_page);
	data->pages[data->next_page++] = page;
	if (data->next_page == data->board->utlb_entries)
		data->next_page = 0;
	data->frames[page] = *frame + 1;
	return true;
}

/* Whether a line continues a run of consecutive lines, as the prefetcher sees it; it does from now on, or begins one. */
static bool in_stream(struct data *data, uint32_t line)
{
	uint32_t i, runs = 0;

	for (i = 0; i < DATA_STREAMS; i++)
		runs |= data->streams[i] == line ? 1u << i : 0;
	if (runs) {
		data->streams[__builtin_ctz(runs)] = line + 1;
		return true;
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

/* Brings a line into L1D. */
static void fill(struct data *data, uint32_t line, enum access access)
{
	bool stream = in_stream(data, line), victim_dirty, l2_hit;
	uint32_t victim;

	data->core->l1d_misses++;
	victim = cache_place(&data->l1, line, &victim_dirty);
	if (victim_dirty)
		l2_write_back(data->l2, victim);
	l2_hit = l2_fetch(data->l2, line);
	if (access != ACCESS_STORE)
		wait_for(data, access, stream, l2_hit);
	else if (!l2_hit)	/* the store buffer waits in the core's place, but for memory's bandwidth */
		data->core->memory_ps += stream ? data->board->stream_store_ps : data->board->store_ps;
}

void data_miss(struct data *data, uint32_t address, enum access access, frame_fn frame_of, void *context)
{
	uint32_t frame, line;

	if (!look_up(data, address, frame_of, context, &frame))
		return;
	if (access & ACCESS_FIRST)
		access = data->beside ? ACCESS_BESIDE : access & ~ACCESS_FIRST;
	line = frame * LINES_PER_PAGE + (address >> LINE_SHIFT) % LINES_PER_PAGE;
	if (!cache_use(&data->l1, line))
		fill(data, line, access);
	else if (access != ACCESS_STORE)
		data->l1_missed = false;
	if (access == ACCESS_STORE)
		cache_soil(&data->l1, line);
}

static bool any_tag(uint32_t tag)
{
	(void)tag;
	return true;
}

static bool user_tag(uint32_t tag)
{
	return tag < PAGES;
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
		if (!in_lowmem(data->pages[i]))
			forget_page(data, i);
}

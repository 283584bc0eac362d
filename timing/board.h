/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The numbers of a board: what the model is told of its core, caches, memory and governor.
 *
 * What each one means is said where it is used; configs/boards/ has the values and where they come from.
 */
#ifndef BOARD_H
#define BOARD_H

#include "pipeline.h"

/* Fixed for all cores that the model knows. */
#define LINE_SHIFT 6
#define PAGE_SHIFT 12
#define LINES_PER_PAGE (1 << (PAGE_SHIFT - LINE_SHIFT))

/* Of all addresses of 32 bits, the guest's or its memory's. */
#define PAGES (1u << (32 - PAGE_SHIFT))
#define LINES (1u << (32 - LINE_SHIFT))

#define BOARD_NUMBERS(X) \
	X(l1d_bytes) \
	X(l1d_ways) \
	X(l1i_bytes) \
	X(l1i_ways) \
	X(l2_bytes) \
	X(l2_ways) \
	X(l2_random) \
	X(utlb_entries) \
	X(tlb_entries) \
	X(tlb_ways) \
	X(frequency_min_khz) \
	X(frequency_max_khz) \
	X(governor_sample_us) \
	X(governor_up_percent) \
	X(governor_down_factor) \
	X(l2_hit_cycles) \
	X(l2_beside_cycles) \
	X(l2_from_cycles) \
	X(l2_stream_cycles) \
	X(utlb_miss_cycles) \
	X(walk_cycles) \
	X(walk_ps) \
	X(dram_ps) \
	X(dram_beside_ps) \
	X(stream_load_ps) \
	X(stream_store_ps) \
	X(store_ps) \
	X(fetch_ps) \
	X(mispredict_cycles) \
	X(pattern_entries) \
	X(target_entries) \
	X(return_entries)

struct board {
	struct pipeline_numbers pipeline;
#define BOARD_MEMBER(name) uint32_t name;
	BOARD_NUMBERS(BOARD_MEMBER)
#undef BOARD_MEMBER
};

/*
 * Reads lines "key value" from a file. False, with words for a person in message, if a key is unknown, missing or twice there, a
 * value is no number, or a geometry is impossible.
 */
bool board_read(struct board *board, const char *path, char *message, size_t size);

#endif

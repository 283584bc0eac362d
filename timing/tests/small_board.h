/* SPDX-License-Identifier: GPL-2.0-only */
/* A board so small that it can be computed by hand; each cost is a decimal digit of its own, so that a sum tells its parts. */
#ifndef SMALL_BOARD_H
#define SMALL_BOARD_H

#include "../board.h"

static const struct board small_board = {
	.l1d_bytes = 256, .l1d_ways = 4,	/* 4 lines, 1 set */
	.l1i_bytes = 128, .l1i_ways = 2,	/* 2 lines, 1 set */
	.l2_bytes = 1024, .l2_ways = 16,	/* 16 lines, 1 set */
	.l2_random = 1,
	.utlb_entries = 2,
	.tlb_entries = 4, .tlb_ways = 4,
	.frequency_min_khz = 500000,		/* 2 ns a cycle */
	.frequency_max_khz = 1000000,		/* 1 ns a cycle */
	.governor_sample_us = 100,
	.governor_up_percent = 50,
	.governor_down_factor = 3,
	.l2_hit_cycles = 1,
	.l2_beside_cycles = 10,
	.l2_from_cycles = 100,
	.l2_stream_cycles = 1000,
	.utlb_miss_cycles = 10000,
	.walk_cycles = 100000,
	.walk_ps = 1,
	.dram_ps = 10,
	.dram_beside_ps = 100,
	.stream_load_ps = 1000,
	.stream_store_ps = 10000,
	.store_ps = 100000,
	.fetch_ps = 1000000,
	.mispredict_cycles = 9,
	.pattern_entries = 64,
	.target_entries = 4,
	.return_entries = 2,
};

#endif

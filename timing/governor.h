/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The governor `ondemand` of Linux with two frequencies: the highest from a share of busy time on, else the lowest.
 *
 * See drivers/cpufreq/cpufreq_ondemand.c of Linux. With `governor_down_factor` (sampling_down_factor) it looks that many times more
 * seldom while it is at the highest.
 */
#ifndef GOVERNOR_H
#define GOVERNOR_H

#include "board.h"

struct governor {
	const struct board *board;
	uint32_t khz;
	uint64_t next_ns;	/* when it looks again */
	uint64_t since_ns;	/* when it looked last */
	uint64_t busy_ns;	/* that had been busy then */
};

void governor_init(struct governor *governor, const struct board *board);

/* Chooses the frequency anew if it is time to; the board's time, and how much of it was busy, both since its start. */
void governor_look(struct governor *governor, uint64_t now_ns, uint64_t busy_ns);

#endif

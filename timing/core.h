/* SPDX-License-Identifier: GPL-2.0-only */
/* What is counted while the guest runs: events, and the time that they take. */
#ifndef CORE_H
#define CORE_H

#include <stdint.h>

#define CORE_EVENTS(X) \
	X(instructions) \
	X(cycles) \
	X(l1i_misses) \
	X(l1d_misses) \
	X(l2_misses) \
	X(utlb_misses) \
	X(tlb_walks) \
	X(branch_misses)

struct core_events {
#define CORE_MEMBER(name) uint64_t name;
	CORE_EVENTS(CORE_MEMBER)
#undef CORE_MEMBER
};

/*
 * busy_cycles is time in which the frequency counts (pipeline, caches, TLBs), memory_ps that in which it does not (DRAM). The
 * cycles among the events are both, brought up to date by clock_advance().
 */
struct core {
	uint64_t busy_cycles;
	uint64_t memory_ps;
#define CORE_MEMBER(name) uint64_t name;
	CORE_EVENTS(CORE_MEMBER)
#undef CORE_MEMBER
};

/* A sequence of pseudo-random numbers: xorshift32, G. Marsaglia, Xorshift RNGs, J. Stat. Software 8(14), 2003. */
struct dice {
	uint32_t state;	/* not 0 */
};

static inline uint32_t dice_roll(struct dice *dice)
{
	dice->state ^= dice->state << 13;
	dice->state ^= dice->state >> 17;
	dice->state ^= dice->state << 5;
	return dice->state;
}

#endif

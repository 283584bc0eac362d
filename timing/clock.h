/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The board's time from what was counted, and QEMU's clock made to follow it.
 *
 * With `-icount shift=0` QEMU's virtual clock is the number of instructions, each a nanosecond, and a bias, to which QEMU adds what
 * it skips while the guest idles. What the model's time is more, or less, than that number is added to the bias here. It is part of
 * the variable `timers_state`, which the program exports; that it is what it is taken for is tried at the start.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include "core.h"
#include "governor.h"

struct clock {
	struct core *core;
	struct governor governor;
	uint64_t busy_ps;		/* the model's time without what was idle */
	uint64_t done_cycles, done_ps;	/* of the core's, what is in it already */
	uint64_t due;			/* work of the core at which the clock is to be set again; see clock_work() */
	int64_t *bias;			/* QEMU's, or NULL if its clock is left alone */
	int64_t given;			/* of the bias: what was added here */
};

void clock_init(struct clock *clock, const struct board *board, struct core *core);

/* Takes hold of QEMU's clock. NULL, or what is wrong: this QEMU is another than those that are known. */
const char *clock_take(struct clock *clock);

/* A cheap measure of the model's progress, of about a cycle each: the memory's time in units of 1.024 ns. */
static inline uint64_t clock_work(const struct core *core)
{
	return core->busy_cycles + (core->memory_ps >> 10);
}

/* The event `cycles` as it would be if the model's time were brought up to date now. */
uint64_t clock_cycles(const struct clock *clock);

/* Brings the model's time and the event `cycles` up to date, and QEMU's clock if it was taken. */
void clock_advance(struct clock *clock);

static inline bool clock_is_due(const struct clock *clock)
{
	return clock_work(clock->core) >= clock->due;
}

#endif

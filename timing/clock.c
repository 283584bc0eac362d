// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "clock.h"

#include <dlfcn.h>
#include <string.h>

/*
 * Cycles from one correction to the next, unless the guest reads the clock: timers are late by up to that. With a fifth of it the
 * times of dense_mm change by less than 0.02 %.
 */
#define EVERY 60000

/* QEMU_CLOCK_VIRTUAL, include/qemu/timer.h. */
#define VIRTUAL 1

/* Where struct TimersState (softmmu/timers-state.h in QEMU 7.2, system/timers-state.h in 10.0) has them on a 64-bit host. */
enum { SHIFT_AT = 26, BIAS_AT = 40 };

void clock_init(struct clock *clock, const struct board *board, struct core *core)
{
	*clock = (struct clock){ .core = core, .due = EVERY };
	governor_init(&clock->governor, board);
}

static void add_to(int64_t *bias, int64_t ns)
{
	__atomic_fetch_add(bias, ns, __ATOMIC_SEQ_CST);
}

const char *clock_take(struct clock *clock)
{
	int64_t (*get_ns)(int) = NULL;
	const int64_t step = 12345;
	int64_t before, moved;
	int16_t shift;
	int64_t *bias;
	char *state;

	state = dlsym(RTLD_DEFAULT, "timers_state");
	*(void **)&get_ns = dlsym(RTLD_DEFAULT, "qemu_clock_get_ns");
	if (!state || !get_ns)
		return "this QEMU does not export timers_state and qemu_clock_get_ns";
	memcpy(&shift, state + SHIFT_AT, sizeof(shift));
	if (shift != 0)
		return "the clock is not that of -icount shift=0";
	bias = (int64_t *)(state + BIAS_AT);
	before = get_ns(VIRTUAL);
	add_to(bias, step);
	moved = get_ns(VIRTUAL) - before;
	add_to(bias, -step);
	if (moved != step || get_ns(VIRTUAL) != before)
		return "timers_state is laid out in another way than in the versions that are known";
	clock->bias = bias;
	return NULL;
}

/* Picoseconds of a number of cycles, far from an overflow for those between two corrections. */
static uint64_t cycles_to_ps(uint64_t cycles, uint32_t khz)
{
	return cycles * 1000000000 / khz;
}

static uint64_t ps_to_cycles(uint64_t ps, uint32_t khz)
{
	return ps / 1000 * khz / 1000000;
}

static uint32_t khz_of(const struct clock *clock)
{
	return clock->bias ? clock->governor.khz : clock->governor.board->frequency_max_khz;
}

uint64_t clock_cycles(const struct clock *clock)
{
	const struct core *core = clock->core;

	if (!core->busy_cycles)
		return 0;	/* nothing is modelled */
	return core->cycles + core->busy_cycles - clock->done_cycles +
	       ps_to_cycles(core->memory_ps - clock->done_ps, khz_of(clock));
}

void clock_advance(struct clock *clock)
{
	struct core *core = clock->core;
	uint64_t cycles = core->busy_cycles - clock->done_cycles;
	uint64_t ps = core->memory_ps - clock->done_ps;
	uint32_t khz = khz_of(clock);
	int64_t wanted;

	core->cycles = clock_cycles(clock);
	clock->busy_ps += cycles_to_ps(cycles, khz) + ps;
	clock->done_cycles = core->busy_cycles;
	clock->done_ps = core->memory_ps;
	clock->due = clock_work(core) + EVERY;
	if (!clock->bias)
		return;
	/* What is in the bias and was not given here is the time that QEMU has skipped while the guest was idle. */
	governor_look(&clock->governor, clock->busy_ps / 1000 + (*clock->bias - clock->given), clock->busy_ps / 1000);
	wanted = (int64_t)(clock->busy_ps / 1000) - (int64_t)core->instructions;
	add_to(clock->bias, wanted - clock->given);
	clock->given = wanted;
}

// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "../clock.h"
#include "check.h"
#include "small_board.h"

/* A stand-in for the part of QEMU that is taken hold of: its clock is the instructions and a bias, at the place where QEMU has it. */
_Alignas(8) char timers_state[128];
static int64_t instructions;
static int bias_at = 40;

int64_t qemu_clock_get_ns(int type)
{
	int64_t bias;

	memcpy(&bias, timers_state + bias_at, sizeof(bias));
	return type == 1 ? instructions + bias : 0;
}

static void idle(int64_t ns)
{
	int64_t bias;

	memcpy(&bias, timers_state + 40, sizeof(bias));
	bias += ns;
	memcpy(timers_state + 40, &bias, sizeof(bias));
}

static void the_guest_sees_the_models_time(void)
{
	struct core core = { 0 };
	struct clock clock;

	memset(timers_state, 0, sizeof(timers_state));
	instructions = 0;
	clock_init(&clock, &small_board, &core);
	EXPECT(clock_take(&clock) == NULL, true);
	EXPECT(qemu_clock_get_ns(1), 0);

	/* 1000 instructions in 3000 cycles of 2 ns and 500 ns of memory. */
	core.instructions = instructions = 1000;
	core.busy_cycles = 3000;
	core.memory_ps = 500000;
	clock_advance(&clock);
	EXPECT(qemu_clock_get_ns(1), 6500);
	EXPECT(core.cycles, 3250);	/* memory's 500 ns are 250 cycles */

	/* Faster than an instruction a nanosecond, too. */
	core.instructions = instructions = 11000;
	core.busy_cycles += 2000;
	clock_advance(&clock);
	EXPECT(qemu_clock_get_ns(1), 10500);

	/* What QEMU skips while the guest is idle is kept. */
	idle(7000);
	clock_advance(&clock);
	EXPECT(qemu_clock_get_ns(1), 17500);
}

static void a_busy_guest_gets_the_higher_frequency(void)
{
	struct core core = { 0 };
	struct clock clock;

	memset(timers_state, 0, sizeof(timers_state));
	instructions = 0;
	clock_init(&clock, &small_board, &core);
	EXPECT(clock_take(&clock) == NULL, true);
	core.busy_cycles = 30000;	/* 60 us */
	idle(40000);			/* of 100: busy enough */
	clock_advance(&clock);
	EXPECT(clock.governor.khz, 1000000);
	core.busy_cycles += 1000;
	clock_advance(&clock);
	EXPECT(qemu_clock_get_ns(1), 101000);
}

static void without_the_clock_cycles_are_those_of_the_highest_frequency(void)
{
	struct core core = { .busy_cycles = 100, .memory_ps = 50000 };
	struct clock clock;

	clock_init(&clock, &small_board, &core);
	clock_advance(&clock);
	EXPECT(core.cycles, 150);
}

static void it_is_due_after_so_much_work(void)
{
	struct core core = { 0 };
	struct clock clock;

	clock_init(&clock, &small_board, &core);
	core.busy_cycles = 59999;
	EXPECT(clock_is_due(&clock), false);
	core.memory_ps = 1024;
	EXPECT(clock_is_due(&clock), true);
	clock_advance(&clock);
	EXPECT(clock_is_due(&clock), false);
}

static void another_layout_or_another_shift_is_refused(void)
{
	struct core core = { 0 };
	struct clock clock;

	memset(timers_state, 0, sizeof(timers_state));
	clock_init(&clock, &small_board, &core);
	bias_at = 48;
	EXPECT(clock_take(&clock) != NULL, true);
	EXPECT(clock.bias == NULL, true);
	EXPECT(timers_state[40], 0);	/* put back */
	bias_at = 40;
	timers_state[26] = 1;
	EXPECT(clock_take(&clock) != NULL, true);
}

int main(void)
{
	the_guest_sees_the_models_time();
	a_busy_guest_gets_the_higher_frequency();
	without_the_clock_cycles_are_those_of_the_highest_frequency();
	it_is_due_after_so_much_work();
	another_layout_or_another_shift_is_refused();
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "../decode.h"
#include "../profile.h"
#include "check.h"
#include "small_board.h"

#include <string.h>

enum {
	ADD = 0xe2800001, B = 0xea000000, BL = 0xeb000000, BX_LR = 0xe12fff1e, BX_R3 = 0xe12fff13, SVC = 0xef000000,
	MOVS_PC_LR = 0xe1b0f00e, LDM_USER = 0xe8ddffff, LDM_SWITCH = 0xe894aff0,
};

enum { SWITCH = 0xc0009254, EXEC = 0xc0124050, SYSTEM_CALL = 0xffff0008, DATA_ABORT = 0xffff0010, INTERRUPT = 0xffff0018 };

static struct board board;
static struct core core;
static struct clock test_clock;
static struct profile profile;

static void begin(void)
{
	const struct profile_window window = {
		.path = "/dev/null", .command = 1, .begin = 0x80, .end = 0x81, .switch_first = SWITCH, .switch_end = SWITCH + 0x40, .exec = EXEC,
	};

	board = small_board;
	core = (struct core){ 0 };
	clock_init(&test_clock, &board, &core);
	EXPECT(profile_init(&profile, &window, &test_clock) == NULL, true);
}

/* A block of one instruction is executed. */
static struct profile_site *run(uint32_t address, uint32_t word)
{
	struct profile_code *code;
	struct branch_end end;
	struct insn insn;

	decode_a32(word, &insn);
	end = branch_end(&insn, 1, address + 4);
	code = profile_code(&profile, address, address, (const uint8_t *)&word, 4, &end, word);
	EXPECT(profile_enter(&profile, code), true);
	core.instructions++;
	return profile.site;
}

static void open_at(uint32_t address)
{
	run(address, ADD);
	EXPECT(profile_mark(&profile, 0x80) == NULL, true);
	EXPECT(profile.is_open, true);
}

/* A site is in a frame that was entered at an address from one whose code is at another. */
static void expect_in(const struct profile_site *site, uint32_t entry, uint32_t caller)
{
	EXPECT(site->frame->entry, entry);
	EXPECT(site->frame->caller->code->address, caller);
}

static void test_calls_and_returns(void)
{
	struct profile_site *inner;

	begin();
	open_at(0x1000);
	run(0x1004, BL);
	expect_in(run(0x2000, BL), 0x2000, 0x1004);
	inner = run(0x3000, BX_LR);
	expect_in(inner, 0x3000, 0x2000);
	EXPECT(run(0x2004, BX_LR)->frame->entry, 0x2000);
	EXPECT(run(0x1008, BL)->frame == profile.root, true);
	/* Called from elsewhere it is in another frame. */
	EXPECT(run(0x2000, ADD)->frame->caller->code->address, 0x1008);
	profile_free(&profile);
}

static void test_tail_calls_return_to_the_first_caller(void)
{
	begin();
	open_at(0x1000);
	run(0x1004, BL);
	run(0x2000, B);
	expect_in(run(0x5000, BX_LR), 0x2000, 0x1004);
	EXPECT(run(0x1008, ADD)->frame == profile.root, true);
	/* An indirect jump, as a table of cases has it. */
	run(0x1008, BL);
	run(0x2000, BX_R3);
	expect_in(run(0x2040, ADD), 0x2000, 0x1008);
	profile_free(&profile);
}

static void test_recursion_comes_back_to_its_frame(void)
{
	struct profile_frame *frame;
	uint32_t i, frames;

	begin();
	open_at(0x1000);
	run(0x1004, BL);
	frame = run(0x2000, BL)->frame;
	frames = profile.last_frame->number;
	for (i = 0; i < 1000; i++)
		EXPECT(run(0x2000, BL)->frame == frame, true);
	EXPECT(profile.last_frame->number, frames);
	for (i = 0; i < 1000; i++)
		EXPECT(run(0x2004, BX_LR)->frame == frame, true);
	EXPECT(run(0x2004, BX_LR)->frame == frame, true);
	EXPECT(run(0x1008, ADD)->frame == profile.root, true);
	profile_free(&profile);
}

static void test_a_jump_over_several_returns(void)
{
	begin();
	open_at(0x1000);
	run(0x1004, BL);
	run(0x2000, BL);
	run(0x3000, BL);
	run(0x4000, BX_LR);	/* longjmp */
	EXPECT(run(0x1008, ADD)->frame == profile.root, true);
	profile_free(&profile);
}

static void test_system_calls(void)
{
	begin();
	open_at(0x1000);
	run(0x1004, BL);
	run(0x2000, SVC);
	EXPECT(run(SYSTEM_CALL, B)->frame->is_exception, true);
	run(0xc0008340, BL);
	expect_in(run(0xc0010000, BX_LR), 0xc0010000, 0xc0008340);
	run(0xc0008344, MOVS_PC_LR);
	EXPECT(run(0x2004, BX_LR)->frame->entry, 0x2000);
	EXPECT(run(0x1008, ADD)->frame == profile.root, true);
	profile_free(&profile);
}

static void test_an_interrupt_between_a_call_and_its_function(void)
{
	begin();
	open_at(0x1000);
	run(0x1004, BL);
	run(INTERRUPT, B);
	/* The code behind the vectors goes on in another mode, which is no end of the exception. */
	run(0xffff1020, MOVS_PC_LR);
	EXPECT(run(0xc0008c00, ADD)->frame->is_exception, true);
	run(0xc0008c04, LDM_USER);
	expect_in(run(0x2000, BX_LR), 0x2000, 0x1004);
	run(INTERRUPT, B);
	run(0xc0008c04, LDM_USER);
	EXPECT(run(0x1008, ADD)->frame == profile.root, true);
	profile_free(&profile);
}

static void test_an_access_that_fails_is_counted_where_it_succeeds(void)
{
	struct profile_site *site;

	begin();
	open_at(0x1000);
	site = run(0x1004, BL);
	run(DATA_ABORT, B);
	core.instructions--;	/* as plugin.c has it */
	EXPECT(site->events.instructions, 0);
	/* It goes to another place: a fix-up of the kernel's, which no call leads to. */
	run(0xc0008c04, LDM_USER);
	EXPECT(run(0x9000, ADD)->frame == profile.root, true);
	EXPECT(run(0x1004, ADD)->frame == profile.root, true);
	profile_free(&profile);
}

static void test_threads_have_stacks_of_their_own(void)
{
	begin();
	open_at(0xc0001000);
	run(0xc0001004, BL);
	run(SWITCH, ADD);
	profile_switch(&profile, 0x100);
	run(SWITCH + 4, LDM_SWITCH);
	/* A new one. */
	EXPECT(run(0xc0008308, BL)->frame == profile.root, true);
	run(0xc0030000, BL);
	run(SWITCH, ADD);
	profile_switch(&profile, 0x200);
	run(SWITCH + 4, LDM_SWITCH);
	run(0xc0008308, BL);
	run(0xc0040000, BL);
	run(SWITCH, ADD);
	profile_switch(&profile, 0x100);
	run(SWITCH + 4, LDM_SWITCH);
	/* The first one goes on. */
	expect_in(run(0xc0030004, ADD), 0xc0030000, 0xc0008308);
	run(0xc0030008, BL);
	run(SWITCH, ADD);
	profile_switch(&profile, 0x200);
	run(SWITCH + 4, LDM_SWITCH);
	/* Another one in the memory of the second. */
	EXPECT(run(0xc0008308, ADD)->frame == profile.root, true);
	profile_free(&profile);
}

static void test_another_program(void)
{
	begin();
	open_at(0x1000);
	run(0x1004, BL);
	run(0x2000, SVC);
	run(SYSTEM_CALL, BL);
	run(EXEC, BX_LR);
	run(0xffff000c, B);	/* the vectors' page has code of its own, too */
	run(0xc0008344, MOVS_PC_LR);
	run(0xc0008348, MOVS_PC_LR);
	EXPECT(run(0x8000, ADD)->frame == profile.root, true);
	profile_free(&profile);
}

static void test_events_add_up_and_frames_are_found_when_the_window_opens(void)
{
	const struct profile_site *site;
	uint64_t sum = 0, cycles = 0;

	begin();
	run(0x1000, BL);
	run(0x2000, BL);
	core.busy_cycles = 5;
	open_at(0x3000);
	expect_in(profile.site, 0x3000, 0x2000);
	EXPECT(profile.site->frame->caller->frame->entry, 0x2000);
	core.instructions = 100;
	run(0x3004, BX_LR);
	core.busy_cycles += 7;
	core.memory_ps += 5000;
	core.l2_misses += 3;
	run(0x2004, ADD);
	core.l2_misses++;
	EXPECT(profile_mark(&profile, 0x81) == NULL, true);
	EXPECT(profile.is_open, false);
	for (site = profile.all_sites; site; site = site->next) {
		sum += site->events.instructions;
		cycles += site->events.cycles;
		if (site->code->address == 0x3004)
			EXPECT(site->events.l2_misses, 3);
	}
	EXPECT(sum, 100 - 3 + 2);
	/* The clock is left alone: it has the highest frequency, a cycle of a nanosecond. */
	EXPECT(cycles, 7 + 5);
	EXPECT(core.cycles, 0);
	clock_advance(&test_clock);
	EXPECT(core.cycles, 5 + 7 + 5);
	profile_free(&profile);
}

static void test_only_the_window_of_its_command(void)
{
	begin();
	profile.window.command = 2;
	profile.window.begin = 0x84;
	profile.window.end = 0x85;
	run(0x1000, ADD);
	profile_mark(&profile, 0x84);
	EXPECT(profile.is_open, false);
	profile_mark(&profile, 0x81);
	profile_mark(&profile, 0x80);
	EXPECT(profile.is_open, false);
	profile_mark(&profile, 0x84);
	EXPECT(profile.is_open, true);
	profile_mark(&profile, 0x85);
	EXPECT(profile.is_open, false);
	profile_mark(&profile, 0x84);
	EXPECT(profile.is_open, true);
	/* The command was killed in the phase. */
	profile_mark(&profile, 0x81);
	EXPECT(profile.is_open, false);
	profile_mark(&profile, 0x84);
	EXPECT(profile.is_open, false);
	profile_free(&profile);
}

static void test_deep_stacks_are_bounded(void)
{
	uint32_t i;

	begin();
	run(0x1000, BL);
	for (i = 0; i < 20000; i++)
		run(0x2000, BL);
	EXPECT(profile.thread->depth, 16384);
	for (i = 0; i < 20000; i++)
		run(0x2004, BX_LR);
	run(0x1004, ADD);
	EXPECT(profile.thread->depth, 0);
	EXPECT(profile.thread->beyond, 0);
	profile_free(&profile);
}

int main(void)
{
	test_calls_and_returns();
	test_tail_calls_return_to_the_first_caller();
	test_recursion_comes_back_to_its_frame();
	test_a_jump_over_several_returns();
	test_system_calls();
	test_an_interrupt_between_a_call_and_its_function();
	test_an_access_that_fails_is_counted_where_it_succeeds();
	test_threads_have_stacks_of_their_own();
	test_another_program();
	test_events_add_up_and_frames_are_found_when_the_window_opens();
	test_only_the_window_of_its_command();
	test_deep_stacks_are_bounded();
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "../block.h"
#include "check.h"

#define R(n) reg_bit(n)

/* ldr rD, [rA] */
static struct insn load(unsigned int to, unsigned int from)
{
	return (struct insn){ .class = INSN_LOAD, .reads = R(from), .address = R(from), .writes = R(to), .transfers = 1 };
}

/* add rD, rD, rA */
static struct insn add(unsigned int to, unsigned int other)
{
	return (struct insn){ .class = INSN_ALU, .reads = R(to) | R(other), .writes = R(to) };
}

static void a_chase_of_pointers_is_known(void)
{
	struct insn loop[] = { load(0, 0), add(1, 2) };
	struct insn unrolled[] = { load(0, 0), load(0, 0), load(0, 0) };

	EXPECT(block_access(loop, 2, 0), ACCESS_FROM | ACCESS_FIRST);	/* from the round before */
	EXPECT(block_access(unrolled, 3, 2), ACCESS_FROM);
}

static void a_computed_address_is_none(void)
{
	/* As in random reads: the address is computed from what was loaded. */
	struct insn loop[] = { add(1, 2), add(3, 1), load(4, 3), add(1, 4) };

	EXPECT(block_access(loop, 4, 2), ACCESS_AFTER | ACCESS_FIRST);
}

static void loads_beside_each_other_are_known(void)
{
	struct insn both[] = { load(4, 1), load(5, 2), add(4, 5) };
	struct insn waited[] = { load(4, 1), add(6, 4), load(5, 2) };

	EXPECT(block_access(both, 3, 0), ACCESS_AFTER | ACCESS_FIRST);
	EXPECT(block_access(both, 3, 1), ACCESS_BESIDE);
	EXPECT(block_access(waited, 3, 2), ACCESS_AFTER);	/* the first was waited for */
}

static void a_stepped_base_is_not_what_was_loaded(void)
{
	/* ldr r4, [r1], #4 twice */
	struct insn step = load(4, 1);

	step.writes |= R(1);
	step.updates = R(1);
	struct insn loop[] = { step, step };

	EXPECT(block_access(loop, 2, 1), ACCESS_BESIDE);
	EXPECT(block_access(loop, 1, 0), ACCESS_AFTER | ACCESS_FIRST);
}

static void what_is_under_way_at_the_end_is_known(void)
{
	struct insn open[] = { add(1, 2), load(4, 1), add(5, 6) };
	struct insn waited[] = { load(4, 1), add(5, 4) };
	struct insn none[] = { add(1, 2) };

	EXPECT(block_loads(open, 3).any, true);
	EXPECT(block_loads(open, 3).open, R(4));
	EXPECT(block_loads(open, 3).before, R(1) | R(2));
	EXPECT(block_loads(waited, 2).open, 0);
	EXPECT(block_loads(none, 1).any, false);
	EXPECT(block_loads(none, 1).before, R(1) | R(2));
}

static void instructions_are_counted_where_a_block_may_be_left(void)
{
	struct insn insns[] = {
		add(1, 2),
		load(3, 1),
		{ .class = INSN_STORE, .reads = R(3) | R(1), .address = R(1), .data = R(3), .transfers = 1 },
		{ .class = INSN_HINT, .hint = 0x80 },
		{ .class = INSN_HINT, .hint = 4 },
		{ .class = INSN_SYSTEM },
		add(1, 2),
		{ .class = INSN_BRANCH },
	};
	const bool expected[] = { false, true, true, true, false, true, false, true };

	for (int i = 0; i < 8; i++)
		EXPECT(block_counts_at(insns, 8, i), expected[i]);
}

int main(void)
{
	a_chase_of_pointers_is_known();
	a_computed_address_is_none();
	loads_beside_each_other_are_known();
	a_stepped_base_is_not_what_was_loaded();
	what_is_under_way_at_the_end_is_known();
	instructions_are_counted_where_a_block_may_be_left();
	return 0;
}

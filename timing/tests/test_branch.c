// SPDX-License-Identifier: GPL-2.0-only
#include "../branch.h"
#include "../decode.h"
#include "check.h"
#include "small_board.h"

static struct core core;
static struct branch branch;

/* What one block costs in predictions that fail when it is entered. */
static uint64_t enter(uint32_t address, const struct branch_end *end)
{
	uint64_t before = core.branch_misses;

	branch_enter(&branch, address, end);
	EXPECT(core.busy_cycles, core.branch_misses * small_board.mispredict_cycles);
	return core.branch_misses - before;
}

static struct branch_end end_of(uint32_t word, uint32_t next)
{
	struct insn insn;

	decode_a32(word, &insn);
	return branch_end(&insn, 1, next);
}

static struct branch_end end_of_thumb(const uint32_t *words, size_t n)
{
	struct insn insns[4];

	for (size_t i = 0; i < n; i++)
		decode_t32(words[i], words[i] > 0xffff ? 4 : 2, &insns[i]);
	return branch_end(insns, n, 0);
}

static void expect(struct branch_end end, enum branch_kind kind, bool conditional, bool links)
{
	EXPECT(end.kind, kind);
	EXPECT(end.conditional, conditional);
	EXPECT(end.links, links);
}

static void test_kinds(void)
{
	const uint32_t it_b[] = { 0xbf08, 0xe001 };		/* it eq; beq */
	const uint32_t it_add_b[] = { 0xbf08, 0x3001, 0xe001 };	/* it eq; addeq; b */
	const uint32_t itt_bx[] = { 0xbf04, 0x3001, 0x4770 };	/* itt eq; addeq; bxeq lr */
	const uint32_t cbz[] = { 0xb100 }, beq[] = { 0xd0fe }, b[] = { 0xe7fe }, pop[] = { 0xbd10 };

	expect(end_of(0xe1a00000, 4), BRANCH_NONE, false, false);		/* mov r0, r0 */
	expect(end_of(0xea000000, 4), BRANCH_DIRECT, false, false);		/* b */
	expect(end_of(0x0a000000, 4), BRANCH_DIRECT, true, false);		/* beq */
	expect(end_of(0xeb000000, 4), BRANCH_DIRECT, false, true);		/* bl */
	expect(end_of(0xfa000000, 4), BRANCH_DIRECT, false, true);		/* blx to T32 */
	expect(end_of(0xe12fff1e, 4), BRANCH_RETURN, false, false);		/* bx lr */
	expect(end_of(0x112fff1e, 4), BRANCH_RETURN, true, false);		/* bxne lr */
	expect(end_of(0xe12fff13, 4), BRANCH_INDIRECT, false, false);		/* bx r3 */
	expect(end_of(0xe12fff33, 4), BRANCH_INDIRECT, false, true);		/* blx r3 */
	expect(end_of(0xe8bd8010, 4), BRANCH_RETURN, false, false);		/* pop {r4, pc} */
	expect(end_of(0xe49df004, 4), BRANCH_RETURN, false, false);		/* pop {pc} */
	expect(end_of(0xe5bcf100, 4), BRANCH_INDIRECT, false, false);		/* ldr pc, [ip, #256]! */
	expect(end_of(0xe08ff003, 4), BRANCH_UNPREDICTED, false, false);	/* add pc, pc, r3 */
	expect(end_of(0xe1b0f00e, 4), BRANCH_UNPREDICTED, false, false);	/* movs pc, lr */
	expect(end_of(0xf8bd0a00, 4), BRANCH_UNPREDICTED, false, false);	/* rfeia sp! */
	expect(end_of_thumb(it_b, 2), BRANCH_DIRECT, true, false);
	expect(end_of_thumb(it_add_b, 3), BRANCH_DIRECT, false, false);
	expect(end_of_thumb(itt_bx, 3), BRANCH_RETURN, true, false);
	expect(end_of_thumb(cbz, 1), BRANCH_DIRECT, true, false);
	expect(end_of_thumb(beq, 1), BRANCH_DIRECT, true, false);
	expect(end_of_thumb(b, 1), BRANCH_DIRECT, false, false);
	expect(end_of_thumb(pop, 1), BRANCH_RETURN, false, false);
}

/* A loop's branch is learnt with the first directions, for each of which there is a history, and fails at the end. */
static void test_directions(void)
{
	const struct branch_end loop = { .next = 0x1010, .kind = BRANCH_DIRECT, .conditional = true };
	uint64_t misses = 0;

	enter(0x1000, &loop);
	for (int i = 0; i < 20; i++)
		misses += enter(0x1000, &loop);
	EXPECT(misses <= 9, true);
	for (int i = 0; i < 20; i++)
		EXPECT(enter(0x1000, &loop), 0);
	EXPECT(enter(0x1010, &loop), 1);
	branch_enter(&branch, 0x1010, &(struct branch_end){ .next = 0x2000 });
}

static void test_straight_code(void)
{
	const struct branch_end straight = { .next = 0x3010 }, jump = { .next = 0x3020, .kind = BRANCH_DIRECT };

	branch.last = straight;
	EXPECT(enter(0x3010, &jump), 0);
	EXPECT(enter(0x5000, &straight), 0);
	/* A block that is cut off: by an access to a device, which costs nothing, by an exception, which does. */
	EXPECT(enter(0x5004, &straight), 0);
	EXPECT(enter(0xffff0010, &straight), 1);
}

/* Returns of nested calls are predicted, as many as the stack holds. */
static void test_returns(void)
{
	const struct branch_end call[] = {
		{ .next = 0x110, .kind = BRANCH_DIRECT, .links = true },
		{ .next = 0x210, .kind = BRANCH_DIRECT, .links = true },
		{ .next = 0x310, .kind = BRANCH_DIRECT, .links = true },
	};
	const struct branch_end back = { .next = 0x999, .kind = BRANCH_RETURN };

	branch.last = (struct branch_end){ 0 };
	branch.depth = 0;
	enter(0, &call[0]);
	EXPECT(enter(0x200, &call[1]), 0);
	EXPECT(enter(0x300, &call[2]), 0);
	EXPECT(enter(0x400, &back), 0);
	EXPECT(enter(0x310, &back), 0);
	EXPECT(enter(0x210, &back), 0);
	EXPECT(enter(0x110, &back), 1);	/* overwritten by the third */
	EXPECT(enter(0x110, &back), 1);	/* nothing is left */
}

static void test_targets(void)
{
	const struct branch_end call = { .next = 0x110, .kind = BRANCH_INDIRECT, .links = true };
	const struct branch_end back = { .next = 0x990, .kind = BRANCH_RETURN };

	branch.last = call;
	EXPECT(enter(0x400, &back), 1);
	EXPECT(enter(0x110, &call), 0);
	EXPECT(enter(0x400, &back), 0);
	EXPECT(enter(0x110, &call), 0);
	EXPECT(enter(0x500, &back), 1);
}

static void test_unpredicted(void)
{
	const struct branch_end table = { .next = 0x110, .kind = BRANCH_UNPREDICTED };

	branch.last = table;
	EXPECT(enter(0x400, &table), 1);
	EXPECT(enter(0x400, &table), 1);
}

int main(void)
{
	EXPECT(branch_init(&branch, &small_board, &core), true);
	test_kinds();
	test_directions();
	test_straight_code();
	test_returns();
	test_targets();
	test_unpredicted();
	branch_free(&branch);
	return 0;
}

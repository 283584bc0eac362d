// SPDX-License-Identifier: GPL-2.0-only
#include "../fetch.h"
#include "check.h"
#include "small_board.h"

struct fixture {
	struct core core;
	struct l2 l2;
	struct fetch fetch;
};

static void set_up(struct fixture *fixture)
{
	fixture->core = (struct core){ 0 };
	EXPECT(l2_init(&fixture->l2, &small_board, &fixture->core), true);
	EXPECT(fetch_init(&fixture->fetch, &small_board, &fixture->core, &fixture->l2), true);
}

static void tear_down(struct fixture *fixture)
{
	fetch_free(&fixture->fetch);
	l2_free(&fixture->l2);
}

/* A block of one line that was never executed before. */
static void fetch_line(struct fixture *fixture, uint32_t line)
{
	static union {
		struct fetch_lines block;
		uint32_t room[8];
	} one;

	one.block = (struct fetch_lines){ .there = UINT64_MAX, .n = 1 };
	one.block.lines[0] = line;
	fetch_block(&fixture->fetch, &one.block);
}

static void a_line_costs_by_where_it_comes_from(void)
{
	struct fixture f;

	set_up(&f);
	fetch_line(&f, 100);
	EXPECT(f.core.memory_ps, 1000000);	/* from memory */
	fetch_line(&f, 100);
	EXPECT(f.core.l1i_misses, 1);
	fetch_line(&f, 101);			/* the next one was prefetched */
	EXPECT(f.core.memory_ps, 1001000);
	fetch_line(&f, 100);
	EXPECT(f.core.l1i_misses, 2);
	EXPECT(f.core.busy_cycles, 0);

	/* Four lines do not fit into two, so some hit in L2: a cycle each, but for the one that follows. */
	fetch_line(&f, 200);
	fetch_line(&f, 300);
	EXPECT(f.core.l2_misses, 4);
	f.core.l1i_misses = 0;
	for (int round = 0; round < 8; round++) {
		fetch_line(&f, 100);
		fetch_line(&f, 200);
		fetch_line(&f, 300);
	}
	EXPECT(f.core.l2_misses, 4);
	EXPECT(f.core.l1i_misses > 0, true);
	EXPECT(f.core.busy_cycles, f.core.l1i_misses);
	tear_down(&f);
}

/* Blocks that remember what they have seen, and blocks that do not: both fetch the same. */
static void what_a_block_remembers_changes_nothing(void)
{
	enum { BLOCKS = 5, ROOM = 2 };
	static union {
		struct fetch_lines block;
		uint32_t room[8];
	} blocks[BLOCKS];
	struct fixture f, g;
	struct dice dice = { 1 };
	uint64_t skipped = 0;

	set_up(&f);
	set_up(&g);
	for (int i = 0; i < BLOCKS; i++) {
		blocks[i].block = (struct fetch_lines){ .there = UINT64_MAX, .n = 1 + i % ROOM };
		for (int line = 0; line < ROOM; line++)
			blocks[i].block.lines[line] = i + 3 * line;
	}
	for (int step = 0; step < 20000; step++) {
		/* Now and then another one, so that lines leave, and long runs of the same in which they do not. */
		uint32_t which = dice_roll(&dice) % 8 ? (uint32_t)step / 64 : dice_roll(&dice);
		struct fetch_lines *block = &blocks[which % BLOCKS].block;

		skipped += block->there == f.core.l1i_misses;
		fetch_block(&f.fetch, block);
		for (uint32_t i = 0; i < block->n; i++)
			fetch_line(&g, block->lines[i]);
		EXPECT(f.core.l1i_misses, g.core.l1i_misses);
		EXPECT(f.core.busy_cycles, g.core.busy_cycles);
		EXPECT(f.core.memory_ps, g.core.memory_ps);
		EXPECT(f.fetch.last, g.fetch.last);
	}
	EXPECT(skipped > 1000 && f.core.l1i_misses > 1000, true);
	tear_down(&f);
	tear_down(&g);
}

int main(void)
{
	a_line_costs_by_where_it_comes_from();
	what_a_block_remembers_changes_nothing();
	return 0;
}

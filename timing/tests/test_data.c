// SPDX-License-Identifier: GPL-2.0-only
#include "../data.h"
#include "check.h"
#include "small_board.h"

/* Pages are their own frames, but for the device page 0x3f000. */
static bool same_frame(void *context, uint32_t address, uint32_t *frame)
{
	(void)context;
	*frame = address >> PAGE_SHIFT;
	return *frame != 0x3f000;
}

/* The kernel's linear mapping begins at 0xc0000000 with frame 0. */
static bool kernel_frame(void *context, uint32_t address, uint32_t *frame)
{
	(void)context;
	*frame = (address - 0xc0000000) >> PAGE_SHIFT;
	return true;
}

struct fixture {
	struct board board;
	struct core core;
	struct l2 l2;
	struct data data;
};

static void set_up(struct fixture *fixture)
{
	fixture->board = small_board;
	fixture->core = (struct core){ 0 };
	EXPECT(l2_init(&fixture->l2, &fixture->board, &fixture->core), true);
	EXPECT(data_init(&fixture->data, &fixture->board, &fixture->core, &fixture->l2), true);
}

static void tear_down(struct fixture *fixture)
{
	data_free(&fixture->data);
	l2_free(&fixture->l2);
}

/* As the plugin does it: what hits is taken without data_miss(). */
static void data_access(struct data *data, uint32_t address, enum access access, frame_fn frame_of, void *context)
{
	if (access == ACCESS_STORE ? !data_hits(data, address, true) : !data_load_hits(data, address))
		data_miss(data, address, access, frame_of, context);
}

static void touch(struct fixture *fixture, uint32_t address, enum access access)
{
	data_access(&fixture->data, address, access, same_frame, NULL);
}

/* Cycles and picoseconds of one access. */
static uint64_t cycles_of(struct fixture *fixture, uint32_t address, enum access access)
{
	uint64_t before = fixture->core.busy_cycles;

	touch(fixture, address, access);
	return fixture->core.busy_cycles - before;
}

static uint64_t ps_of(struct fixture *fixture, uint32_t address, enum access access)
{
	uint64_t before = fixture->core.memory_ps;

	touch(fixture, address, access);
	return fixture->core.memory_ps - before;
}

static void a_first_load_pays_for_all_and_a_second_for_nothing(void)
{
	struct fixture f;

	set_up(&f);
	touch(&f, 0x10000, ACCESS_AFTER);
	EXPECT(f.core.busy_cycles, 110001);	/* walk, micro-TLB, L1 */
	EXPECT(f.core.memory_ps, 11);		/* walk, memory */
	EXPECT(f.core.tlb_walks, 1);
	EXPECT(f.core.utlb_misses, 1);
	EXPECT(f.core.l1d_misses, 1);
	EXPECT(f.core.l2_misses, 1);
	EXPECT(cycles_of(&f, 0x1003c, ACCESS_AFTER), 0);
	EXPECT(f.core.memory_ps, 11);
	tear_down(&f);
}

static void l2_is_cheaper_than_memory(void)
{
	struct fixture f;

	set_up(&f);
	/* Two lines apart, so that none continues a stream; 5 lines do not fit into the 4 of L1. */
	for (int i = 0; i < 5; i++)
		touch(&f, 0x10000 + i * 128, ACCESS_AFTER);
	EXPECT(f.core.l2_misses, 5);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 5; i++)
			EXPECT(ps_of(&f, 0x10000 + i * 128, ACCESS_AFTER), 0);
	EXPECT(f.core.l2_misses, 5);
	EXPECT(f.core.l1d_misses > 5, true);
	/* Walk and micro-TLB once, and a hit in L2 for each miss of L1. */
	EXPECT(f.core.busy_cycles, 110000 + f.core.l1d_misses);
	tear_down(&f);
}

static void a_load_beside_a_missing_one_is_cheaper(void)
{
	struct fixture f;

	set_up(&f);
	touch(&f, 0x10000, ACCESS_AFTER);
	EXPECT(cycles_of(&f, 0x10080, ACCESS_BESIDE), 10);
	EXPECT(ps_of(&f, 0x10100, ACCESS_BESIDE), 100);
	/* One that hits stands between: it is waited for no longer. */
	touch(&f, 0x10000, ACCESS_AFTER);
	EXPECT(ps_of(&f, 0x10180, ACCESS_BESIDE), 10);
	tear_down(&f);
}

static void a_block_knows_what_the_one_before_has_under_way(void)
{
	const struct loads brings = { .any = true, .before = 1, .open = 2 }, waits = { .any = true, .before = 2 };
	const struct loads other = { .any = true, .before = 4 }, none = { .before = 4 };
	struct fixture f;

	set_up(&f);
	data_enter(&f.data, &brings);
	touch(&f, 0x10000, ACCESS_AFTER | ACCESS_FIRST);
	data_enter(&f.data, &none);	/* without a load, and nothing in it waits */
	data_enter(&f.data, &other);
	EXPECT(ps_of(&f, 0x10080, ACCESS_AFTER | ACCESS_FIRST), 100);
	data_enter(&f.data, &brings);
	touch(&f, 0x10100, ACCESS_AFTER | ACCESS_FIRST);
	data_enter(&f.data, &waits);
	EXPECT(ps_of(&f, 0x10180, ACCESS_AFTER | ACCESS_FIRST), 10);
	tear_down(&f);
}

static void an_address_from_a_missing_load_costs_more(void)
{
	struct fixture f;

	set_up(&f);
	touch(&f, 0x10000, ACCESS_AFTER);
	EXPECT(cycles_of(&f, 0x10080, ACCESS_FROM), 101);
	tear_down(&f);
}

static void streams_of_lines_are_prefetched(void)
{
	struct fixture f;

	set_up(&f);
	touch(&f, 0x10000, ACCESS_AFTER);
	EXPECT(ps_of(&f, 0x10040, ACCESS_AFTER), 1000);
	EXPECT(ps_of(&f, 0x10200, ACCESS_STORE), 100000);
	EXPECT(ps_of(&f, 0x10240, ACCESS_STORE), 10000);
	EXPECT(ps_of(&f, 0x10080, ACCESS_AFTER), 1000);	/* two streams at a time */
	tear_down(&f);
}

static void stores_make_lines_dirty_and_those_go_to_l2(void)
{
	const uint32_t line = 0x10000 >> LINE_SHIFT;
	struct fixture f;

	set_up(&f);
	touch(&f, 0x10000, ACCESS_AFTER);
	EXPECT(data_hits(&f.data, 0x10000, false), true);
	EXPECT(data_hits(&f.data, 0x10000, true), false);	/* a first store has to say that it is one */
	touch(&f, 0x10000, ACCESS_STORE);
	EXPECT(data_hits(&f.data, 0x10000, true), true);
	EXPECT(f.core.l1d_misses, 1);
	for (int i = 1; i < 40 && data_hits(&f.data, 0x10000, false); i++)
		touch(&f, 0x10000 + i * 128 % 1024, ACCESS_AFTER);
	EXPECT(data_hits(&f.data, 0x10000, false), false);
	EXPECT(cache_has(&f.l2.cache, line), true);
	EXPECT(cache_row(&f.l2.cache, line)->dirty & cache_bit(line), cache_bit(line));
	tear_down(&f);
}

static void the_micro_tlb_has_two_entries_here_and_the_tlb_four(void)
{
	struct fixture f;

	set_up(&f);
	for (int page = 0; page < 3; page++)
		touch(&f, page * 4096, ACCESS_AFTER);
	EXPECT(f.core.tlb_walks, 3);
	touch(&f, 0, ACCESS_AFTER);	/* the oldest of the micro-TLB went, the TLB still knows it */
	EXPECT(f.core.utlb_misses, 4);
	EXPECT(f.core.tlb_walks, 3);
	data_drop_user(&f.data);
	touch(&f, 0, ACCESS_AFTER);
	EXPECT(f.core.tlb_walks, 4);
	tear_down(&f);
}

/* Whatever is accessed and dropped, the oldest page goes, as a queue that is searched would have it. */
static void the_micro_tlb_is_a_queue(void)
{
	uint32_t queue[2] = { CACHE_NONE, CACHE_NONE }, next = 0;
	struct dice dice = { 1 };
	struct fixture f;

	set_up(&f);
	for (int step = 0; step < 20000; step++) {
		uint32_t page = dice_roll(&dice) % 5;
		bool there = queue[0] == page || queue[1] == page;
		uint64_t before = f.core.utlb_misses;

		touch(&f, page << PAGE_SHIFT, dice_roll(&dice) % 2 ? ACCESS_AFTER : ACCESS_STORE);
		EXPECT(f.core.utlb_misses - before, !there);
		if (!there)
			queue[next++ % 2] = page;
		if (step % 100)
			continue;
		data_drop_user(&f.data);
		queue[0] = queue[1] = CACHE_NONE;
	}
	tear_down(&f);
}

static void a_section_of_the_kernel_is_one_entry(void)
{
	struct fixture f;

	set_up(&f);
	for (int page = 0; page < 3; page++)
		data_access(&f.data, 0xc0100000 + page * 4096, ACCESS_AFTER, kernel_frame, NULL);
	EXPECT(f.core.tlb_walks, 1);
	EXPECT(f.core.utlb_misses, 3);
	data_drop_user(&f.data);
	data_access(&f.data, 0xc0104000, ACCESS_AFTER, kernel_frame, NULL);
	EXPECT(f.core.tlb_walks, 1);	/* users' entries went, not this one */
	data_drop_all(&f.data);
	data_access(&f.data, 0xc0105000, ACCESS_AFTER, kernel_frame, NULL);
	EXPECT(f.core.tlb_walks, 2);
	tear_down(&f);
}

/* Where lowmem ends early, there are pages in its place whose frames do not follow each other, and may precede all others. */
static bool first_frame(void *context, uint32_t address, uint32_t *frame)
{
	(void)context;
	(void)address;
	*frame = 0;
	return true;
}

static void what_is_no_section_stays_in_range(void)
{
	struct fixture f;

	set_up(&f);
	data_access(&f.data, 0xc0105000, ACCESS_STORE, first_frame, NULL);
	data_access(&f.data, 0xc0100000, ACCESS_STORE, first_frame, NULL);
	EXPECT(data_hits(&f.data, 0xc0100000, true), true);
	data_access(&f.data, 0xc01ff000, ACCESS_STORE, first_frame, NULL);
	EXPECT(f.core.l1d_misses, 3);
	tear_down(&f);
}

static void two_addresses_of_a_frame_share_its_lines(void)
{
	struct fixture f;

	set_up(&f);
	data_access(&f.data, 0xc0005000, ACCESS_STORE, kernel_frame, NULL);
	EXPECT(f.core.l1d_misses, 1);
	touch(&f, 0x5000, ACCESS_AFTER);
	EXPECT(f.core.l1d_misses, 1);
	tear_down(&f);
}

static void a_device_costs_nothing_here(void)
{
	struct fixture f;

	set_up(&f);
	touch(&f, 0x3f000000, ACCESS_AFTER);
	EXPECT(f.core.busy_cycles + f.core.memory_ps + f.core.l1d_misses, 0);
	tear_down(&f);
}

int main(void)
{
	a_first_load_pays_for_all_and_a_second_for_nothing();
	l2_is_cheaper_than_memory();
	a_load_beside_a_missing_one_is_cheaper();
	a_block_knows_what_the_one_before_has_under_way();
	an_address_from_a_missing_load_costs_more();
	streams_of_lines_are_prefetched();
	stores_make_lines_dirty_and_those_go_to_l2();
	the_micro_tlb_has_two_entries_here_and_the_tlb_four();
	the_micro_tlb_is_a_queue();
	a_section_of_the_kernel_is_one_entry();
	what_is_no_section_stays_in_range();
	two_addresses_of_a_frame_share_its_lines();
	a_device_costs_nothing_here();
	return 0;
}

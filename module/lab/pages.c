// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages of a new mapping: what they hold, when they come, and that each is its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/lab.h"
#include "lib/memory.h"

#define NR_PAGES 64
#define MANY_PAGES 4096

/* Pages are zero, those included that another mapping has just given back full of data. */
static void zeroed(void)
{
	unsigned int round, i;

	for (round = 0; round < 8; round++) {
		char *mapping = map_pages(NR_PAGES);

		for (i = 0; i < NR_PAGES; i++) {
			if (!page_is_zero(mapping + i * PAGE))
				FAIL("page %u of mapping %u is not zero", i, round);
			fill_page(mapping + i * PAGE, i + 1);
		}
		unmap_pages(mapping, NR_PAGES);
	}
}

static void fill_and_leave(void *unused)
{
	(void)unused;
	fill_pages(map_pages(MANY_PAGES), 1, MANY_PAGES);
}

static void expect_zero_pages(void)
{
	char *mapping = map_pages(MANY_PAGES);
	size_t i;

	for (i = 0; i < MANY_PAGES; i++) {
		if (!page_is_zero(mapping + i * PAGE))
			FAIL("page %zu holds what another process has left in memory", i);
	}
	unmap_pages(mapping, MANY_PAGES);
}

/* Pages are zero when other processes have left their data in nearly all of memory. */
static void zeroed_after_others(void)
{
	in_child(fill_and_leave, NULL);
	expect_zero_pages();
	dirty_free_memory();
	expect_zero_pages();
}

/* Whether each page of a new mapping takes a fault when it is first read (1), or none does (0). */
static long faults_of_new_page(void)
{
	char *mapping = map_pages(NR_PAGES);
	long first, faults;
	size_t i;

	/* The program's own pages are there then. */
	faults_of_read(mapping + (NR_PAGES - 1) * PAGE);
	unmap_pages(mapping, NR_PAGES);
	mapping = map_pages(NR_PAGES);
	first = faults_of_read(mapping);
	for (i = 1; i < NR_PAGES; i++) {
		faults = faults_of_read(mapping + i * PAGE);
		if (faults != first)
			FAIL("the first read of page 0 took %ld faults, that of page %zu %ld",
			     first, i, faults);
	}
	for (i = 0; i < NR_PAGES; i++) {
		faults = faults_of_read(mapping + i * PAGE);
		if (faults)
			FAIL("another read of page %zu took %ld faults", i, faults);
	}
	unmap_pages(mapping, NR_PAGES);
	return first;
}

/*
 * Pages are mapped either all in mmap(), or each when it is first touched and no other with it. One
 * that is there is touched without a fault.
 */
static void mapped_when_due(void)
{
	faults_of_new_page();
}

/* What drivers hold beyond what they did; of pages that were asked for in any way. */
static long taken_since(const struct memory *before)
{
	struct memory now = memory_now();

	return now.pages - before->pages + now.slab - before->slab + now.vmalloc - before->vmalloc;
}

/*
 * Memory for the pages is taken when they are mapped: for all in mmap(), or for each when it is
 * first touched; and is given back by munmap().
 */
static void allocated_when_due(void)
{
	const long at_once = faults_of_new_page() ? 0 : MANY_PAGES, noise = MANY_PAGES / 16;
	struct memory before = memory_now();
	char *mapping = map_pages(MANY_PAGES);
	long taken = taken_since(&before);

	if (labs(taken - at_once) > noise)
		FAIL("mmap of %d pages took %ld, expected about %ld", MANY_PAGES, taken, at_once);
	touch_pages(mapping, MANY_PAGES / 2);
	taken = taken_since(&before);
	if (labs(taken - (at_once ? at_once : MANY_PAGES / 2)) > noise)
		FAIL("with %d of %d pages touched %ld are taken", MANY_PAGES / 2, MANY_PAGES,
		     taken);
	unmap_pages(mapping, MANY_PAGES);
	taken = taken_since(&before);
	if (taken > noise)
		FAIL("after munmap %ld pages are taken", taken);
}

/* A module with the parameter demand_paging pages as that says. */
static void mode(void)
{
	if (!module_has_parameter("demand_paging"))
		skip("the module has no parameter demand_paging");
	ASSERT_EQ(faults_of_new_page(), !strcmp(ktap_options.variant, "demand-paging"));
}

/* Each page keeps its own data: none is there twice. */
static void distinct(void)
{
	char *mapping = map_pages(MANY_PAGES);
	size_t i;

	fill_pages(mapping, 1, MANY_PAGES);
	for (i = 0; i < MANY_PAGES; i++) {
		if (!page_holds(mapping + i * PAGE, i + 1))
			FAIL("page %zu does not hold what was written to it", i);
	}
	unmap_pages(mapping, MANY_PAGES);
}

/* Pages that are read first are the same that are written later. */
static void read_then_written(void)
{
	char *mapping = map_pages(NR_PAGES);

	ASSERT(pages_are_zero(mapping, NR_PAGES));
	fill_pages(mapping, 1, NR_PAGES);
	ASSERT(pages_hold(mapping, 1, NR_PAGES));
	unmap_pages(mapping, NR_PAGES);
}

/* Touched in any order, from the end or at random, pages have their places. */
static void any_order(void)
{
	unsigned int random = ktap_options.seed, i;
	bool touched[NR_PAGES] = { false };
	char *mapping = map_pages(NR_PAGES);

	for (i = 0; i < 4 * NR_PAGES; i++) {
		unsigned int page = i ? next_random(&random) % NR_PAGES : NR_PAGES - 1;

		if (touched[page])
			ASSERT(page_holds(mapping + page * PAGE, page + 1));
		else
			ASSERT(page_is_zero(mapping + page * PAGE));
		fill_page(mapping + page * PAGE, page + 1);
		touched[page] = true;
	}
	for (i = 0; i < NR_PAGES; i++) {
		if (touched[i])
			ASSERT(page_holds(mapping + i * PAGE, i + 1));
		else
			ASSERT(page_is_zero(mapping + i * PAGE));
	}
	unmap_pages(mapping, NR_PAGES);
}

/* Two mappings, of one descriptor or of two, have pages of their own, and outlive each other. */
static void mappings_apart(void)
{
	int fd = device();
	char *first = mmap(NULL, NR_PAGES * PAGE, READ_WRITE, MAP_SHARED, fd, 0);
	char *second = mmap(NULL, NR_PAGES * PAGE, READ_WRITE, MAP_SHARED, fd, 0);
	char *third = map_pages(NR_PAGES);

	ASSERT_OK(first);
	ASSERT_OK(second);
	fill_pages(first, 0, NR_PAGES);
	ASSERT(pages_are_zero(second, NR_PAGES));
	ASSERT(pages_are_zero(third, NR_PAGES));
	fill_pages(second, 1000, NR_PAGES);
	fill_pages(third, 2000, NR_PAGES);
	ASSERT(pages_hold(first, 0, NR_PAGES));

	unmap_pages(first, NR_PAGES);
	reuse_freed_memory();
	ASSERT(pages_hold(second, 1000, NR_PAGES));
	ASSERT(pages_hold(third, 2000, NR_PAGES));
	close(fd);
	ASSERT(pages_hold(second, 1000, NR_PAGES));
	unmap_pages(second, NR_PAGES);
	unmap_pages(third, NR_PAGES);
}

/* A mapping outlives its descriptor: old pages keep their data, and new ones come. */
static void survives_close(void)
{
	int fd = device();
	char *mapping = mmap(NULL, NR_PAGES * PAGE, READ_WRITE, MAP_SHARED, fd, 0);

	ASSERT_OK(mapping);
	fill_pages(mapping, 0, NR_PAGES / 2);
	ASSERT_OK(close(fd));
	reuse_freed_memory();
	ASSERT(pages_are_zero(mapping + NR_PAGES / 2 * PAGE, NR_PAGES / 2));
	fill_pages(mapping + NR_PAGES / 2 * PAGE, NR_PAGES / 2, NR_PAGES / 2);
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	unmap_pages(mapping, NR_PAGES);
}

/*
 * A mapping at an offset of the file is refused, or as good as any: zero, with its data in the
 * right pages, also when its head has gone.
 */
static void offset(void)
{
	static const off64_t offsets[] = { PAGE, 7 * PAGE, 1UL << 20, 1LL << 31 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		int fd = device();
		char *mapping = mmap64(NULL, 8 * PAGE, READ_WRITE, MAP_SHARED, fd, offsets[i]);

		close(fd);
		if (mapping == MAP_FAILED)
			continue;
		ASSERT_EQ(try_read(mapping), 0);
		ASSERT_EQ(try_read(mapping + 7 * PAGE), 0);
		ASSERT(pages_are_zero(mapping, 4));
		fill_pages(mapping, 0, 4);
		unmap_pages(mapping, 2);
		ASSERT(pages_are_zero(mapping + 4 * PAGE, 4));
		fill_pages(mapping + 4 * PAGE, 4, 4);
		ASSERT(pages_hold(mapping + 2 * PAGE, 2, 6));
		unmap_pages(mapping + 2 * PAGE, 6);
	}
}

/* A length is rounded up to whole pages, from one page to many, and nothing is mapped behind. */
static void lengths(void)
{
	static const size_t lengths[] = { 1, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE + 7, 1000 * PAGE };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		size_t pages = (lengths[i] + PAGE - 1) / PAGE;
		char *reserve = reserve_pages(pages + 1);
		int fd = device();

		ASSERT_OK(mmap(reserve, lengths[i], READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0));
		close(fd);
		ASSERT_EQ(try_write(reserve + pages * PAGE - 1, 1), 0);
		fill_pages(reserve, 1, pages);
		ASSERT(pages_hold(reserve, 1, pages));
		ASSERT_EQ(try_read(reserve + pages * PAGE), SIGSEGV);
		unmap_pages(reserve, pages + 1);
	}
}

static const struct ktap_case cases[] = {
	{ .name = "zeroed", .run = zeroed },
	{ .name = "zeroed_after_others", .run = zeroed_after_others, .timeout_s = 300 },
	{ .name = "mapped_when_due", .run = mapped_when_due },
	{ .name = "allocated_when_due", .run = allocated_when_due },
	{ .name = "mode", .run = mode },
	{ .name = "distinct", .run = distinct },
	{ .name = "read_then_written", .run = read_then_written },
	{ .name = "any_order", .run = any_order },
	{ .name = "mappings_apart", .run = mappings_apart },
	{ .name = "survives_close", .run = survives_close },
	{ .name = "offset", .run = offset },
	{ .name = "lengths", .run = lengths },
};

int main(int argc, char **argv)
{
	use_one_cpu();
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

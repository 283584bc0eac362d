// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of which parts go, change their protection, or move.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/lab.h"

#define NR_PAGES 16

/* Every other page is filled, the rest is not touched. */
static char *map_half_filled(void)
{
	char *mapping = map_pages(NR_PAGES);
	size_t i;

	for (i = 0; i < NR_PAGES; i += 2)
		fill_page(mapping + i * PAGE, i);
	return mapping;
}

/* Checks pages from a given one on, fills the rest of them, and checks all. */
static void check_half_filled(char *address, size_t first, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++) {
		if ((first + i) % 2 == 0) {
			ASSERT(page_holds(address + i * PAGE, first + i));
		} else {
			ASSERT_EQ(try_read(address + i * PAGE), 0);
			ASSERT(page_is_zero(address + i * PAGE));
			fill_page(address + i * PAGE, first + i);
		}
	}
	ASSERT(pages_hold(address, first, pages));
}

static void expect_nothing(const char *address, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		ASSERT_EQ(try_read(address + i * PAGE), SIGSEGV);
}

/*
 * When the head goes, the rest keeps its data, and gets the pages that were not touched. (An odd
 * number of pages, so that what takes its place from the start of the rest meets a filled one.)
 */
static void head_unmapped(void)
{
	char *mapping = map_half_filled();

	unmap_pages(mapping, 5);
	reuse_freed_memory();
	expect_nothing(mapping, 5);
	check_half_filled(mapping + 5 * PAGE, 5, NR_PAGES - 5);
	unmap_pages(mapping + 5 * PAGE, NR_PAGES - 5);
}

/* When the tail goes, the rest keeps its data, and gets the pages that were not touched. */
static void tail_unmapped(void)
{
	char *mapping = map_half_filled();

	unmap_pages(mapping + 6 * PAGE, NR_PAGES - 6);
	reuse_freed_memory();
	expect_nothing(mapping + 6 * PAGE, NR_PAGES - 6);
	check_half_filled(mapping, 0, 6);
	unmap_pages(mapping, 6);
}

/* A hole leaves two mappings, each of which outlives the other. */
static void hole_unmapped(void)
{
	char *mapping = map_half_filled();

	unmap_pages(mapping + 4 * PAGE, 3);
	reuse_freed_memory();
	expect_nothing(mapping + 4 * PAGE, 3);
	check_half_filled(mapping + 7 * PAGE, 7, 9);
	unmap_pages(mapping, 4);
	reuse_freed_memory();
	ASSERT(pages_hold(mapping + 7 * PAGE, 7, 9));
	unmap_pages(mapping + 7 * PAGE, 9);
}

/* Page by page, in any order; what is left keeps its data until its turn. */
static void unmapped_page_by_page(void)
{
	static const size_t order[NR_PAGES] = {
		3, 0, 15, 8, 7, 1, 14, 5, 10, 2, 12, 4, 13, 9, 6, 11,
	};
	bool gone[NR_PAGES] = { false };
	char *mapping = map_pages(NR_PAGES);
	size_t i, page;

	fill_pages(mapping, 1, NR_PAGES);
	for (i = 0; i < NR_PAGES; i++) {
		unmap_pages(mapping + order[i] * PAGE, 1);
		gone[order[i]] = true;
		reuse_freed_memory();
		for (page = 0; page < NR_PAGES; page++) {
			if (!gone[page])
				ASSERT(page_holds(mapping + page * PAGE, page + 1));
		}
	}
}

/* A mapping that is put over a part of another replaces it; the rest stays as it was. */
static void replaced_in_part(void)
{
	char *mapping = map_pages(NR_PAGES);
	int fd = device();

	fill_pages(mapping, 0, NR_PAGES);
	ASSERT_OK(mmap(mapping + 4 * PAGE, 4 * PAGE, READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0));
	reuse_freed_memory();
	ASSERT(pages_hold(mapping, 0, 4));
	ASSERT(pages_are_zero(mapping + 4 * PAGE, 4));
	ASSERT(pages_hold(mapping + 8 * PAGE, 8, 8));
	fill_pages(mapping + 4 * PAGE, 100, 4);
	ASSERT(pages_hold(mapping + 8 * PAGE, 8, 8));
	unmap_pages(mapping, NR_PAGES);
}

/* Protection of the whole is obeyed, and what was written before is there after it. */
static void protected(void)
{
	char *mapping = map_half_filled();
	size_t i, bytes = NR_PAGES * PAGE;

	ASSERT_OK(mprotect(mapping, bytes, PROT_READ));
	for (i = 0; i < NR_PAGES; i++)
		ASSERT_EQ(try_write(mapping + i * PAGE, 1), SIGSEGV);
	ASSERT(page_holds(mapping + 2 * PAGE, 2));
	ASSERT(page_is_zero(mapping + 3 * PAGE));
	ASSERT_OK(mprotect(mapping, bytes, PROT_NONE));
	expect_nothing(mapping, NR_PAGES);
	ASSERT_OK(mprotect(mapping, bytes, READ_WRITE));
	check_half_filled(mapping, 0, NR_PAGES);
	unmap_pages(mapping, NR_PAGES);
}

/* Protection of a part is obeyed, and splits the mapping; the pieces live and go on their own. */
static void protected_in_part(void)
{
	char *mapping = map_half_filled();

	ASSERT_OK(mprotect(mapping + 4 * PAGE, 4 * PAGE, PROT_READ));
	ASSERT_EQ(try_write(mapping + 4 * PAGE, 1), SIGSEGV);
	ASSERT_EQ(try_write(mapping + 5 * PAGE, 1), SIGSEGV);
	check_half_filled(mapping, 0, 4);
	check_half_filled(mapping + 8 * PAGE, 8, 8);
	ASSERT(page_holds(mapping + 4 * PAGE, 4));
	ASSERT(page_is_zero(mapping + 5 * PAGE));
	ASSERT_OK(mprotect(mapping + 4 * PAGE, 4 * PAGE, READ_WRITE));
	check_half_filled(mapping + 4 * PAGE, 4, 4);

	ASSERT_OK(mprotect(mapping + 4 * PAGE, 4 * PAGE, PROT_READ));
	unmap_pages(mapping + 4 * PAGE, 4);
	reuse_freed_memory();
	ASSERT(pages_hold(mapping, 0, 4));
	ASSERT(pages_hold(mapping + 8 * PAGE, 8, 8));
	unmap_pages(mapping, NR_PAGES);
}

/* A mapping that was moved keeps its data, and its other pages come at the new place. */
static void moved(void)
{
	char *target = reserve_pages(NR_PAGES);
	char *mapping = map_half_filled();

	ASSERT(mremap(mapping, NR_PAGES * PAGE, NR_PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      target) == target);
	reuse_freed_memory();
	expect_nothing(mapping, NR_PAGES);
	check_half_filled(target, 0, NR_PAGES);
	unmap_pages(target, NR_PAGES);
}

/* A part that was moved keeps its data, and so does the rest. */
static void moved_in_part(void)
{
	char *target = reserve_pages(4);
	char *mapping = map_half_filled();

	ASSERT(mremap(mapping + 4 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      target) == target);
	expect_nothing(mapping + 4 * PAGE, 4);
	check_half_filled(target, 4, 4);
	check_half_filled(mapping, 0, 4);
	check_half_filled(mapping + 8 * PAGE, 8, 8);
	unmap_pages(mapping, NR_PAGES);
	reuse_freed_memory();
	ASSERT(pages_hold(target, 4, 4));
	unmap_pages(target, 4);
}

/* A mapping that was made smaller keeps what is left of it. */
static void shrunk(void)
{
	char *mapping = map_half_filled();

	ASSERT(mremap(mapping, NR_PAGES * PAGE, 6 * PAGE, 0) == mapping);
	reuse_freed_memory();
	expect_nothing(mapping + 6 * PAGE, NR_PAGES - 6);
	check_half_filled(mapping, 0, 6);
	unmap_pages(mapping, 6);
}

/*
 * Growth is refused, or the new part raises SIGBUS, or is as good as any: zero, and its own. The
 * old part stays as it was.
 */
static void grown(void)
{
	char *mapping = map_half_filled(), *larger;
	size_t pages = 2 * NR_PAGES, i;

	larger = mremap(mapping, NR_PAGES * PAGE, pages * PAGE, MREMAP_MAYMOVE);
	if (larger == MAP_FAILED) {
		larger = mapping;
		pages = NR_PAGES;
	}
	for (i = NR_PAGES; i < pages; i++) {
		int signal = try_read(larger + i * PAGE);

		if (signal == SIGBUS)
			continue;
		ASSERT_EQ(signal, 0);
		ASSERT(page_is_zero(larger + i * PAGE));
		fill_page(larger + i * PAGE, 1000 + i);
	}
	check_half_filled(larger, 0, NR_PAGES);
	unmap_pages(larger, pages);
}

static const struct ktap_case cases[] = {
	{ .name = "head_unmapped", .run = head_unmapped },
	{ .name = "tail_unmapped", .run = tail_unmapped },
	{ .name = "hole_unmapped", .run = hole_unmapped },
	{ .name = "unmapped_page_by_page", .run = unmapped_page_by_page },
	{ .name = "replaced_in_part", .run = replaced_in_part },
	{ .name = "protected", .run = protected },
	{ .name = "protected_in_part", .run = protected_in_part },
	{ .name = "moved", .run = moved },
	{ .name = "moved_in_part", .run = moved_in_part },
	{ .name = "shrunk", .run = shrunk },
	{ .name = "grown", .run = grown },
};

int main(int argc, char **argv)
{
	use_one_cpu();
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

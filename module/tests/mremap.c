// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings that mremap moves, and what it refuses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/ktap.h"
#include "paging/device.h"

#define NR_PAGES 12
#define READ_WRITE (PROT_READ | PROT_WRITE)

/* Every other page is filled, the rest is not touched. */
static char *map_half_filled(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	size_t i;

	for (i = 0; i < NR_PAGES; i += 2)
		fill_page(mapping + i * PAGE, i);
	return mapping;
}

/* Checks pages from a given one on, and fills the rest of them. */
static void check_half_filled(char *address, size_t first, size_t pages)
{
	size_t i;

	for (i = first; i < first + pages; i++, address += PAGE) {
		if (i % 2 == 0) {
			ASSERT(page_holds(address, i));
		} else {
			ASSERT(page_is_zero(address));
			fill_page(address, i);
		}
	}
}

/*
 * A mapping that was moved holds what it held, without a fault; pages not touched before are
 * faulted in at their new address. Nothing is left at the old one.
 */
static void moves(void)
{
	long allocated = counter("pages_allocated");
	long freed = counter("pages_freed");
	char *target = reserve_pages(NR_PAGES);
	char *mapping = map_half_filled();
	long faults = counter("faults");
	size_t i;

	ASSERT(mremap(mapping, NR_PAGES * PAGE, NR_PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      target) == target);
	ASSERT_EQ(counter("mappings"), 1);
	for (i = 0; i < NR_PAGES; i++)
		ASSERT_EQ(try_read(mapping + i * PAGE), SIGSEGV);
	for (i = 0; i < NR_PAGES; i += 2)
		ASSERT(page_holds(target + i * PAGE, i));
	ASSERT_EQ(counter("faults"), faults);
	ASSERT_EQ(counter("pages_allocated") - allocated, by_mode(NR_PAGES / 2, NR_PAGES));

	check_half_filled(target, 0, NR_PAGES);
	ASSERT(pages_hold(target, 0, NR_PAGES));
	ASSERT_EQ(counter("faults") - faults, by_mode(NR_PAGES / 2, 0));
	ASSERT_EQ(counter("pages_allocated") - allocated, NR_PAGES);
	ASSERT_EQ(counter("pages_freed"), freed);
	ASSERT_OK(munmap(target, NR_PAGES * PAGE));
	ASSERT_EQ(counter("pages_freed") - freed, NR_PAGES);
}

/* A mapping moved over another one replaces it, whose pages are freed at once. */
static void replaces(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	char *target = map_pages(NR_PAGES, READ_WRITE);
	long freed = counter("pages_freed");

	fill_pages(mapping, 0, NR_PAGES);
	fill_pages(target, 100, NR_PAGES);
	ASSERT(mremap(mapping, NR_PAGES * PAGE, NR_PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      target) == target);
	ASSERT_EQ(counter("pages_freed") - freed, NR_PAGES);
	ASSERT_EQ(counter("mappings"), 1);
	ASSERT(pages_hold(target, 0, NR_PAGES));
}

/* A part can be moved: both places have the right pages, which go when all parts have gone. */
static void part_moves(void)
{
	long freed = counter("pages_freed");
	char *target = reserve_pages(4);
	char *mapping = map_half_filled();

	ASSERT(mremap(mapping + 4 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      target) == target);
	ASSERT_EQ(counter("mappings"), 1);
	ASSERT_EQ(try_read(mapping + 4 * PAGE), SIGSEGV);
	ASSERT_EQ(try_read(mapping + 7 * PAGE), SIGSEGV);
	check_half_filled(target, 4, 4);
	check_half_filled(mapping, 0, 4);
	check_half_filled(mapping + 8 * PAGE, 8, 4);
	ASSERT(pages_hold(mapping, 0, 4));
	ASSERT(pages_hold(target, 4, 4));
	ASSERT(pages_hold(mapping + 8 * PAGE, 8, 4));

	ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
	ASSERT_EQ(counter("pages_freed"), freed);
	ASSERT(pages_hold(target, 4, 4));
	ASSERT_OK(munmap(target, 4 * PAGE));
	ASSERT_EQ(counter("pages_freed") - freed, NR_PAGES);
}

/* A mapping can be made smaller, in its place or by a move; its pages stay until all has gone. */
static void shrinks(void)
{
	long freed = counter("pages_freed");
	char *target = reserve_pages(4);
	char *mapping = map_half_filled();

	ASSERT(mremap(mapping, NR_PAGES * PAGE, 8 * PAGE, 0) == mapping);
	ASSERT_EQ(try_read(mapping + 8 * PAGE), SIGSEGV);
	ASSERT_EQ(try_read(mapping + (NR_PAGES - 1) * PAGE), SIGSEGV);
	check_half_filled(mapping, 0, 7);

	ASSERT(mremap(mapping, 8 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) ==
	       target);
	ASSERT_EQ(try_read(mapping), SIGSEGV);
	ASSERT_EQ(try_read(mapping + 4 * PAGE), SIGSEGV);
	ASSERT(pages_hold(target, 0, 4));
	ASSERT_EQ(counter("pages_freed"), freed);
	ASSERT_EQ(counter("mappings"), 1);
	ASSERT_OK(munmap(target, 4 * PAGE));
	/* 0 to 6, 8, and 10 were touched. */
	ASSERT_EQ(counter("pages_freed") - freed, by_mode(9, NR_PAGES));
}

/* What a refused call must not have changed. */
static void check_intact(char *mapping, long allocated)
{
	check_half_filled(mapping, 0, NR_PAGES);
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	ASSERT_EQ(counter("pages_allocated") - allocated, NR_PAGES);
	ASSERT_EQ(counter("mappings"), 1);
}

/*
 * Growth is refused (EFAULT), in its place and by a move, also back to a size it once had; the
 * mapping stays as it was.
 */
static void growth_refused(void)
{
	long allocated = counter("pages_allocated");
	size_t bytes = NR_PAGES * PAGE;
	char *guard = reserve_pages(3 * NR_PAGES);
	char *mapping = map_half_filled();

	ASSERT_ERRNO(mremap(mapping, bytes, bytes + PAGE, 0), EFAULT);
	ASSERT_ERRNO(mremap(mapping, bytes, 2 * bytes, MREMAP_MAYMOVE), EFAULT);
	ASSERT_ERRNO(mremap(mapping, bytes, 2 * bytes, MREMAP_MAYMOVE | MREMAP_FIXED, guard),
		     EFAULT);
	ASSERT_ERRNO(mremap(mapping + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
	check_intact(mapping, allocated);

	ASSERT(mremap(mapping, bytes, PAGE, 0) == mapping);
	ASSERT_ERRNO(mremap(mapping, PAGE, 2 * PAGE, 0), EFAULT);
	ASSERT_ERRNO(mremap(mapping, PAGE, bytes, MREMAP_MAYMOVE), EFAULT);
	ASSERT(page_holds(mapping, 0));
	ASSERT_EQ(try_read(mapping + PAGE), SIGSEGV);
}

/* An old size of 0, to get a second view of the same pages, is refused (EFAULT). */
static void duplicate_refused(void)
{
	long allocated = counter("pages_allocated");
	char *target = reserve_pages(NR_PAGES);
	char *mapping = map_half_filled();

	ASSERT_ERRNO(mremap(mapping, 0, NR_PAGES * PAGE, MREMAP_MAYMOVE), EFAULT);
	ASSERT_ERRNO(mremap(mapping, 0, PAGE, MREMAP_MAYMOVE), EFAULT);
	ASSERT_ERRNO(mremap(mapping, 0, NR_PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target),
		     EFAULT);
	check_intact(mapping, allocated);
}

/* MREMAP_DONTUNMAP is refused (EINVAL): it would leave an empty mapping at the old address. */
static void dontunmap_refused(void)
{
	const int flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
	long allocated = counter("pages_allocated");
	size_t bytes = NR_PAGES * PAGE;
	char *target = reserve_pages(NR_PAGES);
	char *mapping = map_half_filled();

	ASSERT_ERRNO(mremap(mapping, bytes, bytes, flags, NULL), EINVAL);
	ASSERT_ERRNO(mremap(mapping, bytes, bytes, flags | MREMAP_FIXED, target), EINVAL);
	check_intact(mapping, allocated);
}

/* A range over two mappings, or over the end of one, cannot be moved (EFAULT). */
static void across_refused(void)
{
	long allocated = counter("pages_allocated");
	char *target = reserve_pages(NR_PAGES);
	char *mapping = reserve_pages(NR_PAGES);

	map_pages_at(mapping, 4, READ_WRITE);
	map_pages_at(mapping + 4 * PAGE, 4, READ_WRITE);
	fill_pages(mapping, 0, 8);
	ASSERT_ERRNO(mremap(mapping, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target),
		     EFAULT);
	ASSERT_ERRNO(mremap(mapping + 6 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			    target), EFAULT);
	ASSERT(pages_hold(mapping, 0, 8));
	ASSERT_EQ(counter("mappings"), 2);
	ASSERT_EQ(counter("pages_allocated") - allocated, 8);
}

static const struct ktap_case cases[] = {
	{ .name = "moves", .run = moves },
	{ .name = "replaces", .run = replaces },
	{ .name = "part_moves", .run = part_moves },
	{ .name = "shrinks", .run = shrinks },
	{ .name = "growth_refused", .run = growth_refused },
	{ .name = "duplicate_refused", .run = duplicate_refused },
	{ .name = "dontunmap_refused", .run = dontunmap_refused },
	{ .name = "across_refused", .run = across_refused },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

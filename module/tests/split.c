// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings that are unmapped in pieces.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/ktap.h"
#include "paging/device.h"

#define NR_PAGES 12
#define NR_PIECES 200
#define READ_WRITE (PROT_READ | PROT_WRITE)

/*
 * Unmaps some of the pages of a full mapping, and checks that the others stay as they were until
 * the last of them goes, and that all are freed then.
 */
static void check_unmap(size_t first, size_t pages)
{
	long freed = counter("pages_freed");
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	size_t after = first + pages;
	size_t i;

	fill_pages(mapping, 0, NR_PAGES);
	ASSERT_OK(munmap(mapping + first * PAGE, pages * PAGE));
	for (i = first; i < after; i++) {
		ASSERT_EQ(try_read(mapping + i * PAGE), SIGSEGV);
		ASSERT_EQ(try_write(mapping + i * PAGE, 1), SIGSEGV);
	}
	ASSERT(pages_hold(mapping, 0, first));
	ASSERT(pages_hold(mapping + after * PAGE, after, NR_PAGES - after));
	ASSERT_EQ(counter("pages_freed"), freed);
	ASSERT_EQ(counter("mappings"), 1);

	if (first) {
		ASSERT_OK(munmap(mapping, first * PAGE));
		ASSERT(pages_hold(mapping + after * PAGE, after, NR_PAGES - after));
	}
	if (first && after < NR_PAGES)
		ASSERT_EQ(counter("pages_freed"), freed);
	if (after < NR_PAGES)
		ASSERT_OK(munmap(mapping + after * PAGE, (NR_PAGES - after) * PAGE));
	ASSERT_EQ(counter("pages_freed") - freed, NR_PAGES);
	ASSERT_EQ(counter("mappings"), 0);
}

/* Without its head a mapping keeps its data; all pages are freed when the rest goes. */
static void head(void)
{
	check_unmap(0, 1);
	check_unmap(0, NR_PAGES - 1);
}

/* Without its tail a mapping keeps its data; all pages are freed when the rest goes. */
static void tail(void)
{
	check_unmap(NR_PAGES - 1, 1);
	check_unmap(1, NR_PAGES - 1);
}

/* With a hole in it a mapping keeps its data; all pages are freed when both sides have gone. */
static void middle(void)
{
	check_unmap(1, NR_PAGES - 2);
	check_unmap(5, 1);
}

/* What is left of a mapping without head, middle and tail takes its faults at the right pages. */
static void untouched_rest(void)
{
	long allocated = counter("pages_allocated");
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	size_t i;

	/* 2 to 4 and 7 to 9 are left, of which 3 and 8 are present. */
	fill_pages(mapping, 0, 2);
	fill_page(mapping + 3 * PAGE, 3);
	fill_page(mapping + 8 * PAGE, 8);
	ASSERT_OK(munmap(mapping + 5 * PAGE, 2 * PAGE));
	ASSERT_OK(munmap(mapping, 2 * PAGE));
	ASSERT_OK(munmap(mapping + 10 * PAGE, 2 * PAGE));
	ASSERT_EQ(counter("pages_allocated") - allocated, by_mode(4, NR_PAGES));

	for (i = 2; i < 10; i++) {
		if (i == 5 || i == 6)
			ASSERT_EQ(try_read(mapping + i * PAGE), SIGSEGV);
		else if (i == 3 || i == 8)
			ASSERT(page_holds(mapping + i * PAGE, i));
		else
			ASSERT(page_is_zero(mapping + i * PAGE));
	}
	fill_pages(mapping + 2 * PAGE, 2, 3);
	fill_pages(mapping + 7 * PAGE, 7, 3);
	ASSERT(pages_hold(mapping + 2 * PAGE, 2, 3));
	ASSERT(pages_hold(mapping + 7 * PAGE, 7, 3));
	ASSERT_EQ(counter("pages_allocated") - allocated, by_mode(8, NR_PAGES));
}

/* Pages may go one by one in any order; all are freed with the last, none before. */
static void random_order(void)
{
	unsigned int state = ktap_options.seed;
	char *mapping = map_pages(NR_PIECES, READ_WRITE);
	long freed = counter("pages_freed");
	size_t order[NR_PIECES];
	size_t i;

	note("seed %u", state);
	fill_pages(mapping, 0, NR_PIECES);
	for (i = 0; i < NR_PIECES; i++)
		order[i] = i;
	for (i = NR_PIECES - 1; i > 0; i--) {
		size_t other = next_random(&state) % (i + 1), swap = order[i];

		order[i] = order[other];
		order[other] = swap;
	}
	for (i = 0; i < NR_PIECES; i++) {
		char *page = mapping + order[i] * PAGE;

		ASSERT(page_holds(page, order[i]));
		ASSERT_EQ(counter("pages_freed"), freed);
		ASSERT_OK(munmap(page, PAGE));
		ASSERT_EQ(try_read(page), SIGSEGV);
	}
	ASSERT_EQ(counter("pages_freed") - freed, NR_PIECES);
	ASSERT_EQ(counter("mappings"), 0);
}

/*
 * One munmap() over several mappings, from within the first to within the last: those that it
 * covers are freed, the first and the last keep their pages and what is left of their data.
 */
static void several_at_once(void)
{
	char *base = reserve_pages(4 * NR_PAGES);
	long freed = counter("pages_freed");
	size_t i;

	for (i = 0; i < 4; i++)
		map_pages_at(base + i * NR_PAGES * PAGE, NR_PAGES, READ_WRITE);
	fill_pages(base, 0, 4 * NR_PAGES);
	ASSERT_EQ(counter("mappings"), 4);

	ASSERT_OK(munmap(base + 5 * PAGE, (3 * NR_PAGES - 1) * PAGE));
	ASSERT_EQ(counter("mappings"), 2);
	ASSERT_EQ(counter("pages_freed") - freed, 2 * NR_PAGES);
	ASSERT(pages_hold(base, 0, 5));
	ASSERT_EQ(try_read(base + 5 * PAGE), SIGSEGV);
	ASSERT_EQ(try_read(base + (3 * NR_PAGES + 3) * PAGE), SIGSEGV);
	ASSERT(pages_hold(base + (3 * NR_PAGES + 4) * PAGE, 3 * NR_PAGES + 4, NR_PAGES - 4));

	ASSERT_OK(munmap(base, 4 * NR_PAGES * PAGE));
	ASSERT_EQ(counter("pages_freed") - freed, 4 * NR_PAGES);
}

static const struct ktap_case cases[] = {
	{ .name = "head", .run = head },
	{ .name = "tail", .run = tail },
	{ .name = "middle", .run = middle },
	{ .name = "untouched_rest", .run = untouched_rest },
	{ .name = "random_order", .run = random_order },
	{ .name = "several_at_once", .run = several_at_once },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

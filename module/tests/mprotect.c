// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings whose protection is changed.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/ktap.h"
#include "paging/device.h"

#define NR_PAGES 16
#define READ_WRITE (PROT_READ | PROT_WRITE)

/* PROT_NONE takes all access away (SIGSEGV); given back, the data is as before. */
static void none_and_back(void)
{
	long allocated = counter("pages_allocated");
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	long faults;

	fill_pages(mapping, 0, NR_PAGES);
	faults = counter("faults");
	ASSERT_OK(mprotect(mapping, NR_PAGES * PAGE, PROT_NONE));
	ASSERT_EQ(try_read(mapping), SIGSEGV);
	ASSERT_EQ(try_write(mapping, 1), SIGSEGV);
	ASSERT_EQ(try_read(mapping + (NR_PAGES - 1) * PAGE), SIGSEGV);

	ASSERT_OK(mprotect(mapping, NR_PAGES * PAGE, READ_WRITE));
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	fill_pages(mapping, 100, NR_PAGES);
	ASSERT(pages_hold(mapping, 100, NR_PAGES));
	ASSERT_EQ(counter("faults"), faults);
	ASSERT_EQ(counter("pages_allocated") - allocated, NR_PAGES);
}

/* With PROT_READ the data can be read, and a write raises SIGSEGV and changes nothing. */
static void read_only(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	size_t i;

	fill_pages(mapping, 0, NR_PAGES / 2);
	ASSERT_OK(mprotect(mapping, NR_PAGES * PAGE, PROT_READ));
	for (i = 0; i < NR_PAGES; i++) {
		ASSERT_EQ(try_write(mapping + i * PAGE, 1), SIGSEGV);
		ASSERT_EQ(try_read(mapping + i * PAGE), 0);
	}
	ASSERT(pages_hold(mapping, 0, NR_PAGES / 2));
	ASSERT(pages_are_zero(mapping + NR_PAGES / 2 * PAGE, NR_PAGES / 2));
}

/*
 * The protection of a part is its own, and the data stays: of the three pieces that it makes of
 * the mapping, each finds its pages, those touched before and those touched later.
 */
static void part(void)
{
	long allocated = counter("pages_allocated");
	char *mapping = map_pages(12, READ_WRITE);
	size_t i;

	/* Every other page is touched before. */
	for (i = 0; i < 12; i += 2)
		fill_page(mapping + i * PAGE, i);
	ASSERT_OK(mprotect(mapping + 4 * PAGE, 4 * PAGE, PROT_READ));
	ASSERT_EQ(counter("mappings"), 1);
	ASSERT_EQ(try_write(mapping + 4 * PAGE, 1), SIGSEGV);
	ASSERT_EQ(try_write(mapping + 7 * PAGE, 1), SIGSEGV);
	for (i = 0; i < 12; i += 2)
		ASSERT(page_holds(mapping + i * PAGE, i));
	for (i = 1; i < 12; i += 2)
		ASSERT(page_is_zero(mapping + i * PAGE));
	for (i = 1; i < 12; i += 2) {
		if (i < 4 || i >= 8)
			fill_page(mapping + i * PAGE, i);
	}

	ASSERT_OK(mprotect(mapping, 12 * PAGE, READ_WRITE));
	fill_page(mapping + 5 * PAGE, 5);
	fill_page(mapping + 7 * PAGE, 7);
	ASSERT(pages_hold(mapping, 0, 12));
	ASSERT_EQ(counter("pages_allocated") - allocated, 12);
	ASSERT_EQ(counter("mappings"), 1);
	ASSERT_OK(munmap(mapping, 12 * PAGE));
	ASSERT_EQ(counter("pages_live"), 0);
}

/* A mapping made without any access can be given it later, and then has zeroed pages. */
static void opened_later(void)
{
	long allocated = counter("pages_allocated");
	char *mapping = map_pages(NR_PAGES, PROT_NONE);

	ASSERT_EQ(try_read(mapping), SIGSEGV);
	ASSERT_EQ(try_write(mapping, 1), SIGSEGV);
	ASSERT_EQ(counter("pages_allocated") - allocated, by_mode(0, NR_PAGES));

	ASSERT_OK(mprotect(mapping, NR_PAGES * PAGE, PROT_READ));
	ASSERT(pages_are_zero(mapping, NR_PAGES / 2));
	ASSERT_EQ(counter("pages_allocated") - allocated, by_mode(NR_PAGES / 2, NR_PAGES));
	ASSERT_OK(mprotect(mapping, NR_PAGES * PAGE, READ_WRITE));
	ASSERT(pages_are_zero(mapping, NR_PAGES));
	fill_pages(mapping, 0, NR_PAGES);
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	ASSERT_EQ(counter("pages_allocated") - allocated, NR_PAGES);
}

/* Pages first read, then made writable, are the same pages: writing takes no further fault. */
static void read_then_written(void)
{
	long allocated = counter("pages_allocated");
	long faults = counter("faults");
	char *mapping = map_pages(NR_PAGES, PROT_READ);

	ASSERT(pages_are_zero(mapping, NR_PAGES));
	ASSERT_EQ(try_write(mapping, 1), SIGSEGV);
	ASSERT_OK(mprotect(mapping, NR_PAGES * PAGE, READ_WRITE));
	fill_pages(mapping, 0, NR_PAGES);
	ASSERT_OK(mprotect(mapping, NR_PAGES * PAGE, PROT_READ));
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	ASSERT_EQ(counter("faults") - faults, by_mode(NR_PAGES, 0));
	ASSERT_EQ(counter("pages_allocated") - allocated, NR_PAGES);
}

/* PROT_EXEC is refused (EACCES), and leaves protection and data as they were. */
static void exec_refused(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);

	fill_pages(mapping, 0, NR_PAGES);
	ASSERT_ERRNO(mprotect(mapping, NR_PAGES * PAGE, PROT_EXEC), EACCES);
	ASSERT_ERRNO(mprotect(mapping, NR_PAGES * PAGE, PROT_READ | PROT_EXEC), EACCES);
	ASSERT_ERRNO(mprotect(mapping, NR_PAGES * PAGE, READ_WRITE | PROT_EXEC), EACCES);
	ASSERT_ERRNO(mprotect(mapping + PAGE, PAGE, PROT_READ | PROT_EXEC), EACCES);
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	fill_pages(mapping, 100, NR_PAGES);
	ASSERT(pages_hold(mapping, 100, NR_PAGES));
}

static const struct ktap_case cases[] = {
	{ .name = "none_and_back", .run = none_and_back },
	{ .name = "read_only", .run = read_only },
	{ .name = "part", .run = part },
	{ .name = "opened_later", .run = opened_later },
	{ .name = "read_then_written", .run = read_then_written },
	{ .name = "exec_refused", .run = exec_refused },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

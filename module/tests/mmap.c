// SPDX-License-Identifier: GPL-2.0-only
/*
 * New mappings: what they hold, whom they belong to, and which are refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"

#define NR_PAGES 64
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define PAGES_PER_GIB ((1UL << 30) / PAGE)

/* mmap(2) of a given descriptor. */
static char *map_fd(int fd, size_t bytes, int prot, int flags, off64_t offset)
{
	return mmap64(NULL, bytes, prot, flags, fd, offset);
}

/* Pages come zeroed, those included that another mapping has just given back full of data. */
static void zeroed(void)
{
	unsigned int round, i;

	for (round = 0; round < 8; round++) {
		char *mapping = map_pages(NR_PAGES, READ_WRITE);

		for (i = 0; i < NR_PAGES; i++) {
			if (!page_is_zero(mapping + i * PAGE))
				FAIL("page %u of round %u is not zero", i, round);
			fill_page(mapping + i * PAGE, i + 1);
		}
		ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
	}
}

/*
 * With demand paging a page is allocated when it is first written, and only that page; with
 * pre-paging all are allocated in mmap(). munmap() frees all that were allocated.
 */
static void allocated_when_due(void)
{
	long allocated = counter("pages_allocated");
	long freed = counter("pages_freed");
	long faults = counter("faults");
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	long touched = 0;
	size_t i;

	ASSERT_EQ(counter("pages_allocated") - allocated, by_mode(0, NR_PAGES));
	for (i = 0; i < NR_PAGES; i += 2) {
		fill_page(mapping + i * PAGE, i);
		touched++;
		ASSERT_EQ(counter("pages_allocated") - allocated, by_mode(touched, NR_PAGES));
		ASSERT_EQ(counter("faults") - faults, by_mode(touched, 0));
	}
	ASSERT_EQ(counter("pages_live"), by_mode(touched, NR_PAGES));
	ASSERT_EQ(counter("mappings"), 1);
	ASSERT_EQ(counter("pages_freed"), freed);

	ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
	ASSERT_EQ(counter("pages_freed") - freed, by_mode(touched, NR_PAGES));
	ASSERT_EQ(counter("pages_live"), 0);
	ASSERT_EQ(counter("mappings"), 0);
}

/* Reading allocates a page as writing does: there is no common page of zeros. */
static void read_allocates(void)
{
	long allocated = counter("pages_allocated");
	char *mapping = map_pages(NR_PAGES, PROT_READ);
	size_t i;

	for (i = 0; i < NR_PAGES; i++) {
		ASSERT(page_is_zero(mapping + i * PAGE));
		ASSERT_EQ(counter("pages_allocated") - allocated, by_mode(i + 1, NR_PAGES));
	}
}

/* Two mappings of one descriptor and one offset have different pages, which keep what they hold. */
static void mappings_apart(void)
{
	long allocated = counter("pages_allocated");
	int fd = device(O_RDWR);
	char *first = map_fd(fd, NR_PAGES * PAGE, READ_WRITE, MAP_SHARED, 0);
	char *second = map_fd(fd, NR_PAGES * PAGE, READ_WRITE, MAP_SHARED, 0);

	ASSERT_OK(first);
	ASSERT_OK(second);
	ASSERT_EQ(counter("mappings"), 2);
	fill_pages(first, 0, NR_PAGES);
	ASSERT(pages_are_zero(second, NR_PAGES));
	fill_pages(second, 1000, NR_PAGES);
	ASSERT(pages_hold(first, 0, NR_PAGES));
	ASSERT(pages_hold(second, 1000, NR_PAGES));
	ASSERT_EQ(counter("pages_allocated") - allocated, 2 * NR_PAGES);

	ASSERT_OK(munmap(first, NR_PAGES * PAGE));
	ASSERT_EQ(counter("mappings"), 1);
	ASSERT_EQ(counter("pages_live"), NR_PAGES);
	ASSERT(pages_hold(second, 1000, NR_PAGES));
}

/* A private mapping is refused (EINVAL), whatever its protection, and allocates nothing. */
static void private_refused(void)
{
	long allocated = counter("pages_allocated");
	int read_only = device(O_RDONLY);
	int fd = device(O_RDWR);

	ASSERT_ERRNO(map_fd(fd, PAGE, PROT_NONE, MAP_PRIVATE, 0), EINVAL);
	ASSERT_ERRNO(map_fd(fd, PAGE, PROT_READ, MAP_PRIVATE, 0), EINVAL);
	ASSERT_ERRNO(map_fd(fd, PAGE, READ_WRITE, MAP_PRIVATE, 0), EINVAL);
	ASSERT_ERRNO(map_fd(read_only, PAGE, PROT_READ, MAP_PRIVATE, 0), EINVAL);
	ASSERT_ERRNO(map_fd(read_only, PAGE, READ_WRITE, MAP_PRIVATE, 0), EINVAL);
	ASSERT_EQ(counter("pages_allocated"), allocated);
	ASSERT_EQ(counter("mappings"), 0);
}

/* An executable mapping is refused (EPERM), and allocates nothing. */
static void exec_refused(void)
{
	long allocated = counter("pages_allocated");
	int fd = device(O_RDWR);

	ASSERT_ERRNO(map_fd(fd, PAGE, PROT_EXEC, MAP_SHARED, 0), EPERM);
	ASSERT_ERRNO(map_fd(fd, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, 0), EPERM);
	ASSERT_ERRNO(map_fd(fd, PAGE, READ_WRITE | PROT_EXEC, MAP_SHARED, 0), EPERM);
	ASSERT_EQ(counter("pages_allocated"), allocated);
	ASSERT_EQ(counter("mappings"), 0);
}

/*
 * A file that was opened for reading only gives mappings that can be read, but neither be made
 * writable nor become so later (EACCES). One opened for writing only gives none (EACCES).
 */
static void open_mode_limits(void)
{
	int write_only = device(O_WRONLY);
	int read_only = device(O_RDONLY);
	char *mapping = map_fd(read_only, NR_PAGES * PAGE, PROT_READ, MAP_SHARED, 0);

	ASSERT_OK(mapping);
	ASSERT(pages_are_zero(mapping, NR_PAGES));
	ASSERT_EQ(try_write(mapping, 1), SIGSEGV);
	ASSERT_ERRNO(mprotect(mapping, PAGE, READ_WRITE), EACCES);
	ASSERT_EQ(try_write(mapping, 1), SIGSEGV);
	ASSERT(pages_are_zero(mapping, NR_PAGES));

	ASSERT_ERRNO(map_fd(read_only, PAGE, READ_WRITE, MAP_SHARED, 0), EACCES);
	ASSERT_ERRNO(map_fd(read_only, PAGE, PROT_WRITE, MAP_SHARED, 0), EACCES);
	ASSERT_ERRNO(map_fd(write_only, PAGE, PROT_READ, MAP_SHARED, 0), EACCES);
	ASSERT_ERRNO(map_fd(write_only, PAGE, PROT_WRITE, MAP_SHARED, 0), EACCES);
}

/*
 * Any offset of whole pages is taken and has no meaning: the pages are zero at first, and faults
 * find the right ones, also after the head of the mapping has gone.
 */
static void any_offset(void)
{
	static const off64_t offsets[] = {
		PAGE, 7 * PAGE, 1UL << 20, 1LL << 31, (1LL << 32) - 9 * PAGE,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		long allocated = counter("pages_allocated");
		int fd = device(O_RDWR);
		char *mapping = map_fd(fd, 8 * PAGE, READ_WRITE, MAP_SHARED, offsets[i]);

		ASSERT_OK(mapping);
		ASSERT(pages_are_zero(mapping, 4));
		fill_pages(mapping, 0, 4);
		ASSERT_OK(munmap(mapping, 2 * PAGE));
		ASSERT(pages_are_zero(mapping + 4 * PAGE, 4));
		fill_pages(mapping + 4 * PAGE, 4, 4);
		ASSERT(pages_hold(mapping + 2 * PAGE, 2, 6));
		ASSERT_EQ(counter("pages_allocated") - allocated, 8);
		ASSERT_OK(munmap(mapping + 2 * PAGE, 6 * PAGE));
		ASSERT_EQ(counter("pages_live"), 0);
		close(fd);
	}
}

/* A mapping that would end beyond 4 GiB - 1 of the file is refused (EOVERFLOW), by the core. */
static void offset_limit(void)
{
	const unsigned long limit = 4 * PAGES_PER_GIB - 1;
	const int flags = MAP_SHARED;
	int fd = device(O_RDWR);

	/* The last argument is in pages. */
	ASSERT_OK(syscall(SYS_mmap2, NULL, PAGE, READ_WRITE, flags, fd, limit - 1));
	ASSERT_OK(syscall(SYS_mmap2, NULL, 5 * PAGE, READ_WRITE, flags, fd, limit - 5));
	ASSERT_EQ(counter("mappings"), 2);
	ASSERT_ERRNO(syscall(SYS_mmap2, NULL, PAGE, READ_WRITE, flags, fd, limit), EOVERFLOW);
	ASSERT_ERRNO(syscall(SYS_mmap2, NULL, 5 * PAGE, READ_WRITE, flags, fd, limit - 4),
		     EOVERFLOW);
	ASSERT_ERRNO(syscall(SYS_mmap2, NULL, PAGE, READ_WRITE, flags, fd, ULONG_MAX), EOVERFLOW);
	ASSERT_EQ(counter("mappings"), 2);
}

/*
 * A length is rounded up to whole pages; 0 is refused (EINVAL), and what does not fit into the
 * address space is (ENOMEM). So are an offset and an address within a page (EINVAL).
 */
static void odd_lengths(void)
{
	long allocated = counter("pages_allocated");
	char *reserve = reserve_pages(4);
	int fd = device(O_RDWR);

	ASSERT_ERRNO(map_fd(fd, 0, READ_WRITE, MAP_SHARED, 0), EINVAL);
	ASSERT_ERRNO(map_fd(fd, SIZE_MAX, READ_WRITE, MAP_SHARED, 0), ENOMEM);
	ASSERT_ERRNO(map_fd(fd, 3 * PAGES_PER_GIB * PAGE, READ_WRITE, MAP_SHARED, 0), ENOMEM);
	ASSERT_ERRNO(map_fd(fd, PAGE, READ_WRITE, MAP_SHARED, 1), EINVAL);
	ASSERT_ERRNO(mmap(reserve + 1, PAGE, READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), EINVAL);
	ASSERT_EQ(counter("pages_allocated"), allocated);

	ASSERT_OK(mmap(reserve, 1, READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0));
	fill_page(reserve, 1);
	ASSERT(page_holds(reserve, 1));
	ASSERT_EQ(try_read(reserve + PAGE), SIGSEGV);
	ASSERT_EQ(counter("pages_allocated") - allocated, 1);

	ASSERT_OK(mmap(reserve, PAGE + 1, READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0));
	fill_pages(reserve, 2, 2);
	ASSERT(pages_hold(reserve, 2, 2));
	ASSERT_EQ(try_read(reserve + 2 * PAGE), SIGSEGV);
	ASSERT_EQ(counter("pages_allocated") - allocated, 3);

	ASSERT_OK(munmap(reserve, PAGE + 1));
	ASSERT_EQ(counter("pages_live"), 0);
}

/*
 * A mapping that MAP_FIXED puts over an old one replaces it: the old one's pages are freed at once,
 * the new ones are zero. One put over a part leaves the rest as it was.
 */
static void fixed_replaces(void)
{
	long freed = counter("pages_freed");
	char *mapping = map_pages(8, READ_WRITE);

	fill_pages(mapping, 0, 8);
	map_pages_at(mapping, 8, READ_WRITE);
	ASSERT_EQ(counter("pages_freed") - freed, 8);
	ASSERT_EQ(counter("mappings"), 1);
	ASSERT(pages_are_zero(mapping, 8));

	fill_pages(mapping, 100, 8);
	map_pages_at(mapping + 3 * PAGE, 2, READ_WRITE);
	ASSERT_EQ(counter("mappings"), 2);
	ASSERT(pages_hold(mapping, 100, 3));
	ASSERT(pages_are_zero(mapping + 3 * PAGE, 2));
	ASSERT(pages_hold(mapping + 5 * PAGE, 105, 3));
	ASSERT_EQ(counter("pages_live"), 8 + 2);

	ASSERT_OK(munmap(mapping, 8 * PAGE));
	ASSERT_EQ(counter("pages_live"), 0);
}

/*
 * MAP_POPULATE, MAP_LOCKED, mlock and mlockall succeed, but do not make demand paging allocate
 * anything: the core leaves mappings out that have no pages of its own.
 */
static void populate_ignored(void)
{
	static const int flags[] = {
		MAP_POPULATE, MAP_LOCKED, MAP_POPULATE | MAP_LOCKED, MAP_POPULATE | MAP_NONBLOCK,
	};
	long allocated = counter("pages_allocated");
	size_t i, bytes = NR_PAGES * PAGE;
	int fd = device(O_RDWR);
	char *mapping;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		mapping = map_fd(fd, bytes, READ_WRITE, MAP_SHARED | flags[i], 0);
		ASSERT_OK(mapping);
		ASSERT_EQ(counter("pages_live"), by_mode(0, NR_PAGES));
		ASSERT_OK(munmap(mapping, bytes));
	}

	mapping = map_fd(fd, bytes, READ_WRITE, MAP_SHARED, 0);
	ASSERT_OK(mapping);
	ASSERT_OK(mlock(mapping, bytes));
	ASSERT_OK(mlock2(mapping, bytes, MLOCK_ONFAULT));
	ASSERT_OK(munlock(mapping, bytes));
	ASSERT_OK(mlockall(MCL_CURRENT | MCL_FUTURE));
	ASSERT_OK(map_fd(fd, bytes, READ_WRITE, MAP_SHARED, 0));
	ASSERT_OK(munlockall());

	ASSERT_EQ(counter("pages_allocated") - allocated,
		  by_mode(0, (ARRAY_SIZE(flags) + 2) * NR_PAGES));
	ASSERT(pages_are_zero(mapping, NR_PAGES));
}

/* A mapping outlives the descriptor that it was made of, and keeps the module in use. */
static void survives_close(void)
{
	int fd = device(O_RDWR);
	char *mapping = map_fd(fd, NR_PAGES * PAGE, READ_WRITE, MAP_SHARED, 0);

	ASSERT_OK(mapping);
	fill_pages(mapping, 0, NR_PAGES / 2);
	ASSERT_OK(close(fd));
	fill_pages(mapping + NR_PAGES / 2 * PAGE, NR_PAGES / 2, NR_PAGES / 2);
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	ASSERT_EQ(read_number("/sys/module/" MODULE_NAME "/refcnt"), 1);

	ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
	ASSERT_EQ(read_number("/sys/module/" MODULE_NAME "/refcnt"), 0);
}

/*
 * Neighbours in address space and offset, of one descriptor, do not merge: unmapping one frees its
 * pages at once, and not the other's.
 */
static void neighbours_stay_apart(void)
{
	const int flags = MAP_SHARED | MAP_FIXED;
	char *mapping = reserve_pages(3 * 8);
	long freed = counter("pages_freed");
	int fd = device(O_RDWR);

	/* The middle one last: it could merge with both. */
	ASSERT_OK(mmap(mapping, 8 * PAGE, READ_WRITE, flags, fd, 0));
	ASSERT_OK(mmap(mapping + 16 * PAGE, 8 * PAGE, READ_WRITE, flags, fd, 16 * PAGE));
	ASSERT_OK(mmap(mapping + 8 * PAGE, 8 * PAGE, READ_WRITE, flags, fd, 8 * PAGE));
	ASSERT_EQ(counter("mappings"), 3);
	fill_pages(mapping, 0, 24);
	ASSERT(pages_hold(mapping, 0, 24));

	ASSERT_OK(munmap(mapping + 8 * PAGE, 8 * PAGE));
	ASSERT_EQ(counter("pages_freed") - freed, 8);
	ASSERT(pages_hold(mapping, 0, 8));
	ASSERT(pages_hold(mapping + 16 * PAGE, 16, 8));
	ASSERT_OK(munmap(mapping, 8 * PAGE));
	ASSERT_EQ(counter("pages_freed") - freed, 16);
	ASSERT(pages_hold(mapping + 16 * PAGE, 16, 8));
}

/*
 * Whether there is address space for a mapping. The core looks for it before it refuses to make a
 * file writable that was opened for reading only; so this makes no mapping, and none has to be
 * unmapped, for which ARM flushes each page of the range and an emulator needs a second per GiB.
 */
static bool fits(int read_only, size_t pages)
{
	ASSERT(map_fd(read_only, pages * PAGE, READ_WRITE, MAP_SHARED, 0) == MAP_FAILED);
	if (errno != EACCES)
		ASSERT_EQ(errno, ENOMEM);
	return errno == EACCES;
}

/* The largest number of pages that fits; found by bisection. */
static size_t most_pages(void)
{
	size_t low = PAGES_PER_GIB, high = 4 * PAGES_PER_GIB - 1;
	int read_only = device(O_RDONLY);

	ASSERT(fits(read_only, low));
	ASSERT(!fits(read_only, high));
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (fits(read_only, middle))
			low = middle;
		else
			high = middle;
	}
	close(read_only);
	return low;
}

/* Leaves the mapping to exit(2), which flushes all at once. */
static void use_largest(void *unused)
{
	long allocated = counter("pages_allocated");
	size_t pages = most_pages();
	int fd = device(O_RDWR);
	char *mapping, *last;

	(void)unused;
	note("the largest mapping has %zu pages", pages);
	ASSERT_ERRNO(map_fd(fd, (pages + 1) * PAGE, READ_WRITE, MAP_SHARED, 0), ENOMEM);
	mapping = map_fd(fd, pages * PAGE, READ_WRITE, MAP_SHARED, 0);
	ASSERT_OK(mapping);
	ASSERT_EQ(counter("pages_allocated"), allocated);

	last = mapping + (pages - 1) * PAGE;
	fill_page(mapping, 1);
	fill_page(mapping + pages / 2 * PAGE, 2);
	fill_page(last, 3);
	ASSERT(page_holds(mapping, 1));
	ASSERT(page_holds(mapping + pages / 2 * PAGE, 2));
	ASSERT(page_holds(last, 3));
	ASSERT_EQ(counter("pages_allocated") - allocated, 3);
}

/*
 * With demand paging the size is limited by the address space only (1 GiB and more), and what is
 * not touched costs no page. With pre-paging a mapping larger than all memory is refused at once
 * (ENOMEM), without allocating a page.
 */
static void larger_than_memory(void)
{
	size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * PAGE;
	long allocated = counter("pages_allocated");
	int fd = device(O_RDWR);

	if (demand_paging()) {
		in_child(use_largest, NULL);
		ASSERT_EQ(counter("pages_allocated") - allocated, 3);
	} else {
		ASSERT_ERRNO(map_fd(fd, memory + PAGE, READ_WRITE, MAP_SHARED, 0), ENOMEM);
		ASSERT_EQ(counter("pages_allocated"), allocated);
	}
	ASSERT_EQ(counter("pages_live"), 0);
	ASSERT_EQ(counter("mappings"), 0);
}

static const struct ktap_case cases[] = {
	{ .name = "zeroed", .run = zeroed },
	{ .name = "allocated_when_due", .run = allocated_when_due },
	{ .name = "read_allocates", .run = read_allocates },
	{ .name = "mappings_apart", .run = mappings_apart },
	{ .name = "private_refused", .run = private_refused },
	{ .name = "exec_refused", .run = exec_refused },
	{ .name = "open_mode_limits", .run = open_mode_limits },
	{ .name = "any_offset", .run = any_offset },
	{ .name = "offset_limit", .run = offset_limit },
	{ .name = "odd_lengths", .run = odd_lengths },
	{ .name = "fixed_replaces", .run = fixed_replaces },
	{ .name = "populate_ignored", .run = populate_ignored },
	{ .name = "survives_close", .run = survives_close },
	{ .name = "neighbours_stay_apart", .run = neighbours_stay_apart },
	{ .name = "larger_than_memory", .run = larger_than_memory },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocations that are made to fail: every single one of an operation in turn, and each of the
 * module's own.
 *
 * By /proc/thread-self/fail-nth the Nth allocation of this thread fails; reading it gives 0 once
 * that has happened (Documentation/fault-injection/fault-injection.rst of Linux). Which one it was
 * is told by the module's counters and trace events: while mmap() allocates in advance, the failed
 * page's index is the number of pages that were allocated before. Where that is not enough, only
 * allocations with the module's text on the stack fail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"
#include "paging/reload.h"

#define DEBUG_FOLDER "/sys/kernel/debug"
#define FAIL_NTH "/proc/thread-self/fail-nth"

/* Sweeps take longer, in particular on an emulated machine. */
#define LONG_TIMEOUT_S 300

#define NR_PAGES 8

/* Enough for the tracker not to fit a slab: kmalloc() takes it from the page allocator. */
#define MANY_PAGES 2500

/* A place without page table: far from all else, the beginning of what one page table maps. */
#define FAR ((char *)0x50000000)

/* No operation here makes so many allocations. */
#define MAX_NTH 20000

/*
 * Now and then an allocation needs another, such as a new slab, so that the Nth is not always the
 * same: what a sweep has missed, the next one finds.
 */
#define MAX_ROUNDS 20

static int fail_nth = -1;

static void set(const char *file, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUG_FOLDER "/%s", file);
	if (write_text(path, value))
		FAIL("%s: %s", path, strerror(errno));
}

/* Which allocations can fail: those of slabs, of pages, or both. */
static void set_up(bool slabs, bool pages)
{
	if (access(FAIL_NTH, F_OK))
		skip("the kernel has no fault injection");
	if (!mounted("debugfs", DEBUG_FOLDER))
		skip("debugfs: %s", strerror(errno));
	if (access(DEBUG_FOLDER "/failslab", F_OK) || access(DEBUG_FOLDER "/fail_page_alloc", F_OK))
		skip("the kernel has no failslab or no fail_page_alloc");
	/* "ignore-gfp-wait" leaves out those that may sleep: all of the module's. */
	set("failslab/ignore-gfp-wait", slabs ? "N" : "Y");
	set("failslab/probability", "0");
	set("failslab/verbose", "0");
	set("fail_page_alloc/ignore-gfp-wait", pages ? "N" : "Y");
	set("fail_page_alloc/ignore-gfp-highmem", pages ? "N" : "Y");
	set("fail_page_alloc/min-order", "0");
	set("fail_page_alloc/probability", "0");
	set("fail_page_alloc/verbose", "0");
	fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	ASSERT_OK(fail_nth);
}

static void arm(unsigned int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", nth);

	if (write(fail_nth, text, length) != length)
		FAIL(FAIL_NTH ": %s", strerror(errno));
}

/* Whether an allocation has failed since arm(); none will any more. */
static bool disarm(void)
{
	int error = errno, attempt;
	char text[16] = "";

	/* What is to fail may be a page for the buffer. */
	for (attempt = 0; attempt < 3 && text[0] == '\0'; attempt++) {
		if (pread(fail_nth, text, sizeof(text) - 1, 0) < 0 && errno != EFAULT)
			FAIL(FAIL_NTH ": %s", strerror(errno));
	}
	arm(0);
	errno = error;
	return text[0] == '0';
}

static char *map_at(char *address, size_t pages)
{
	static int fd = -1;

	if (fd < 0)
		fd = device(O_RDWR);
	return mmap(address, pages * PAGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | (address ? MAP_FIXED_NOREPLACE : 0), fd, 0);
}

static void nothing_left(unsigned int nth)
{
	if (counter("pages_live") || counter("mappings"))
		FAIL("after allocation %u failed, pages_live is %ld and mappings %ld", nth,
		     counter("pages_live"), counter("mappings"));
}

/* A failed munmap() has no effect, so that it can be repeated. */
static void unmap(char *mapping, size_t pages)
{
	ASSERT_OK(munmap(mapping, pages * PAGE));
}

/* Each of the first allocations; of the many pages that follow not every one. */
static unsigned int next_nth(unsigned int nth)
{
	return nth < 32 ? nth + 1 : nth + nth / 4;
}

static void sweep_mmap(size_t pages)
{
	unsigned int nth, failed = 0, injected = 0;
	bool hit = true;

	set_up(true, true);
	unmap(map_at(FAR, pages), pages);
	for (nth = 1; hit; nth = next_nth(nth)) {
		char *mapping;

		ASSERT(nth < MAX_NTH);
		arm(nth);
		mapping = map_at(FAR, pages);
		hit = disarm();
		injected += hit;
		if (mapping == MAP_FAILED) {
			ASSERT(hit);
			ASSERT_EQ(errno, ENOMEM);
			failed++;
		} else {
			ASSERT_EQ(try_write(mapping + (pages - 1) * PAGE, 1), 0);
			unmap(mapping, pages);
		}
		nothing_left(nth);
	}
	note("%u allocations made to fail, %u times mmap() failed", injected, failed);
	ASSERT(failed > 0);
}

/* mmap() of few pages: whichever allocation fails, it works or fails with ENOMEM and no effect. */
static void mmap_small(void)
{
	sweep_mmap(NR_PAGES);
}

/* mmap() of many pages: the same. */
static void mmap_large(void)
{
	sweep_mmap(MANY_PAGES);
}

/* munmap() of a whole mapping: whichever allocation fails, it works, or can be repeated. */
static void munmap_whole(void)
{
	unsigned int nth, failed = 0;
	bool hit = true;

	set_up(true, true);
	for (nth = 1; hit; nth++) {
		char *mapping = map_at(FAR, NR_PAGES);
		int result;

		ASSERT_OK(mapping);
		fill_page(mapping, nth);
		arm(nth);
		result = munmap(mapping, NR_PAGES * PAGE);
		hit = disarm();
		if (result) {
			ASSERT(hit);
			ASSERT_EQ(errno, ENOMEM);
			ASSERT(page_holds(mapping, nth));
			failed++;
			unmap(mapping, NR_PAGES);
		}
		nothing_left(nth);
	}
	note("%u allocations, %u times munmap() failed", nth - 2, failed);
}

/* Touches a page while one allocation after another fails; returns how often it raised SIGBUS. */
static unsigned int sweep_touch(void)
{
	unsigned int nth, failed = 0;
	bool hit = true;

	for (nth = 1; hit; nth++) {
		char *mapping = map_at(FAR, NR_PAGES);
		int raised;

		ASSERT_OK(mapping);
		arm(nth);
		raised = try_write(mapping + PAGE, 1);
		hit = disarm();
		if (raised) {
			ASSERT(hit);
			ASSERT_EQ(raised, SIGBUS);
			ASSERT_EQ(counter("pages_live"), 0);
			failed++;
			ASSERT_EQ(try_write(mapping + PAGE, 1), 0);
		}
		ASSERT_EQ(mapping[PAGE], 1);
		ASSERT_EQ(counter("pages_live"), demand_paging() ? 1 : NR_PAGES);
		unmap(mapping, NR_PAGES);
		nothing_left(nth);
	}
	note("%u allocations, %u times SIGBUS", nth - 2, failed);
	return failed;
}

/*
 * A first touch on demand: whichever allocation fails, it works (the core repeats it for want of a
 * page table) or raises SIGBUS (for want of a page), and the next touch works. A page allocated in
 * advance is touched without a fault, so nothing can fail. (The kernel's detectors may allocate for
 * themselves at any time, so it is not asked that nothing at all is allocated.)
 */
static void touch(void)
{
	long faults = counter("faults");
	unsigned int round, failed = 0;

	set_up(true, true);
	for (round = 0; round < MAX_ROUNDS && !failed; round++) {
		failed = sweep_touch();
		if (!demand_paging()) {
			ASSERT_EQ(failed, 0);
			ASSERT_EQ(counter("faults"), faults);
			return;
		}
	}
	ASSERT(failed > 0);
}

/*
 * fork() with mappings: whichever allocation fails, it works or fails with ENOMEM; the parent's
 * mappings keep their data, and their pages go with the last reference.
 */
static void fork_mappings(void)
{
	unsigned int nth, failed = 0, injected = 0;
	bool hit = true;

	set_up(true, true);
	for (nth = 1; hit; nth++) {
		char *near = map_at(NULL, NR_PAGES), *mapping = map_at(FAR, NR_PAGES);
		pid_t child;
		int status;

		ASSERT(nth < MAX_NTH);
		ASSERT_OK(near);
		ASSERT_OK(mapping);
		fill_page(near, nth);
		fill_page(mapping, nth + 1);
		arm(nth);
		child = fork();
		if (!child)
			_exit(!page_holds(near, nth) || !page_holds(mapping, nth + 1));
		hit = disarm();
		injected += hit;
		if (child < 0) {
			ASSERT(hit);
			ASSERT_EQ(errno, ENOMEM);
			failed++;
		} else {
			ASSERT_EQ(waitpid(child, &status, 0), child);
			ASSERT_EQ(status, 0);
		}
		ASSERT(page_holds(near, nth));
		ASSERT(page_holds(mapping, nth + 1));
		ASSERT_EQ(counter("mappings"), 2);
		unmap(near, NR_PAGES);
		unmap(mapping, NR_PAGES);
		nothing_left(nth);
	}
	note("%u allocations made to fail, %u times fork() failed", injected, failed);
	ASSERT(failed > 0);
}

static void fill_all(char *mapping, unsigned int tag)
{
	unsigned int i;

	for (i = 0; i < NR_PAGES; i++)
		fill_page(mapping + i * PAGE, tag + i);
}

static void expect_filled(const char *mapping, unsigned int tag, unsigned int first,
			  unsigned int stop)
{
	unsigned int i;

	for (i = first; i < stop; i++) {
		if (!page_holds(mapping + i * PAGE, tag + i))
			FAIL("page %u does not hold its data after allocation %u failed", i, tag);
	}
}

/*
 * munmap() of a middle part, which splits the mapping: whichever allocation fails, it works, or
 * fails with ENOMEM and all pages keep their data, and can be repeated.
 */
static void split(void)
{
	unsigned int nth, failed = 0;
	bool hit = true;

	set_up(true, true);
	for (nth = 1; hit; nth++) {
		char *mapping = map_at(FAR, NR_PAGES);
		int result;

		ASSERT(nth < MAX_NTH);
		ASSERT_OK(mapping);
		fill_all(mapping, nth);
		arm(nth);
		result = munmap(mapping + 3 * PAGE, 2 * PAGE);
		hit = disarm();
		if (result) {
			ASSERT(hit);
			ASSERT_EQ(errno, ENOMEM);
			failed++;
			expect_filled(mapping, nth, 0, NR_PAGES);
			unmap(mapping + 3 * PAGE, 2);
		}
		ASSERT_EQ(try_read(mapping + 3 * PAGE), SIGSEGV);
		expect_filled(mapping, nth, 0, 3);
		expect_filled(mapping, nth, 5, NR_PAGES);
		ASSERT_EQ(counter("pages_live"), NR_PAGES);
		unmap(mapping, NR_PAGES);
		nothing_left(nth);
	}
	note("%u allocations, %u times munmap() failed", nth - 2, failed);
	ASSERT(failed > 0);
}

/*
 * The place where a mapping no longer is, or never came to be. If the core could not unmap it, it
 * lets it be (the end of move_vma()): then it shows the same pages. Returns whether that happened.
 */
static bool still_there(char *place, unsigned int nth)
{
	int raised = try_read(place);

	if (raised) {
		ASSERT_EQ(raised, SIGSEGV);
		return false;
	}
	expect_filled(place, nth, 0, NR_PAGES);
	unmap(place, NR_PAGES);
	return true;
}

/*
 * A move by mremap(): whichever allocation fails, it works, or fails with ENOMEM and the pages stay
 * where they were, with their data.
 */
static void move(void)
{
	char *there = FAR + 0x10000000;
	unsigned int nth, failed = 0, doubled = 0;
	bool hit = true;

	set_up(true, true);
	for (nth = 1; hit; nth++) {
		char *mapping = map_at(FAR, NR_PAGES), *moved;
		bool both;

		ASSERT(nth < MAX_NTH);
		ASSERT_OK(mapping);
		fill_all(mapping, nth);
		arm(nth);
		moved = mremap(mapping, NR_PAGES * PAGE, NR_PAGES * PAGE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, there);
		hit = disarm();
		if (moved == MAP_FAILED) {
			ASSERT(hit);
			ASSERT_EQ(errno, ENOMEM);
			failed++;
			moved = mapping;
			both = still_there(there, nth);
		} else {
			ASSERT(moved == there);
			both = still_there(mapping, nth);
		}
		ASSERT(hit || !both);
		doubled += both;
		expect_filled(moved, nth, 0, NR_PAGES);
		ASSERT_EQ(counter("pages_live"), NR_PAGES);
		unmap(moved, NR_PAGES);
		nothing_left(nth);
	}
	note("%u allocations, %u times mremap() failed, %u times both places were left", nth - 2,
	     failed, doubled);
	ASSERT(failed > 0);
}

static unsigned long text_address(void)
{
	FILE *file = fopen("/sys/module/" MODULE_NAME "/sections/.text", "re");
	unsigned long address = 0;

	ASSERT(file);
	ASSERT_EQ(fscanf(file, "%lx", &address), 1);
	fclose(file);
	ASSERT(address);
	return address;
}

/*
 * From now on every allocation of this kind below code from one address up to another fails, at
 * most so many times ("-1": all).
 */
static void fail_below(const char *kind, const char *times, unsigned long start, unsigned long end)
{
	char file[64], text[32];

	snprintf(file, sizeof(file), "%s/require-start", kind);
	if (access(DEBUG_FOLDER "/failslab/require-start", F_OK))
		skip("the kernel does not filter fault injection by stack traces");
	snprintf(text, sizeof(text), "%lu", start);
	set(file, text);
	snprintf(file, sizeof(file), "%s/require-end", kind);
	snprintf(text, sizeof(text), "%lu", end);
	set(file, text);
	snprintf(file, sizeof(file), "%s/stacktrace-depth", kind);
	set(file, "32");
	snprintf(file, sizeof(file), "%s/task-filter", kind);
	set(file, "Y");
	snprintf(file, sizeof(file), "%s/times", kind);
	set(file, times);
	snprintf(file, sizeof(file), "%s/probability", kind);
	set(file, "100");
	ASSERT_OK(write_text("/proc/self/make-it-fail", "1"));
}

/* The same below any function of the module. */
static void fail_in_module(const char *kind, const char *times)
{
	unsigned long start = text_address();

	fail_below(kind, times, start,
		   start + read_number("/sys/module/" MODULE_NAME "/coresize"));
}

/* The same below one function of the kernel. */
static void fail_in_kernel(const char *kind, const char *times, const char *function)
{
	unsigned long address, start = 0, end = 0;
	FILE *file = fopen("/proc/kallsyms", "re");
	char name[128], line[256];

	ASSERT(file);
	/* They stand in the order of their addresses. */
	while (!end && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx %*c %127s", &address, name) != 2)
			continue;
		if (start && address > start)
			end = address;
		else if (!strcmp(name, function))
			start = address;
	}
	fclose(file);
	ASSERT(end);
	fail_below(kind, times, start, end);
}

/* No more; returns what is left of the number. */
static long set_off(const char *kind)
{
	char path[128], file[64];
	long times;

	ASSERT_OK(write_text("/proc/self/make-it-fail", "0"));
	snprintf(path, sizeof(path), DEBUG_FOLDER "/%s/times", kind);
	times = read_number(path);
	snprintf(file, sizeof(file), "%s/probability", kind);
	set(file, "0");
	snprintf(file, sizeof(file), "%s/task-filter", kind);
	set(file, "N");
	snprintf(file, sizeof(file), "%s/require-start", kind);
	set(file, "0");
	snprintf(file, sizeof(file), "%s/require-end", kind);
	set(file, "4294967295");
	snprintf(file, sizeof(file), "%s/times", kind);
	set(file, "1");
	return times;
}

/*
 * No memory for the tracker of a small mapping: ENOMEM. (The only slab object that the module
 * allocates, and there is no other way for one of less than a page.)
 */
static void tracker_small(void)
{
	long allocated = counter("pages_allocated");
	int mmap_errno;
	char *mapping;

	set_up(true, false);
	fail_in_module("failslab", "1");
	mapping = map_at(NULL, NR_PAGES);
	mmap_errno = errno;
	ASSERT_EQ(set_off("failslab"), 0);
	ASSERT(mapping == MAP_FAILED);
	ASSERT_EQ(mmap_errno, ENOMEM);
	ASSERT_EQ(counter("pages_allocated"), allocated);
	nothing_left(1);
	mapping = map_at(NULL, NR_PAGES);
	ASSERT_OK(mapping);
	unmap(mapping, NR_PAGES);
}

/* No contiguous memory for the tracker of a large mapping: it is put together of single pages. */
static void tracker_vmalloc(void)
{
	unsigned int i;
	char *mapping, line[256];
	bool found = false;
	FILE *file;

	set_up(false, true);
	/* Only what is not a single page: the attempt to have it in one piece. */
	set("fail_page_alloc/min-order", "1");
	fail_in_module("fail_page_alloc", "1");
	mapping = map_at(NULL, MANY_PAGES);
	ASSERT_EQ(set_off("fail_page_alloc"), 0);
	ASSERT_OK(mapping);
	file = fopen("/proc/vmallocinfo", "re");
	ASSERT(file);
	while (fgets(line, sizeof(line), file))
		found |= strstr(line, "paging_") && strstr(line, "[" MODULE_NAME "]");
	fclose(file);
	ASSERT(found);
	for (i = 0; i < MANY_PAGES; i += 97)
		fill_page(mapping + i * PAGE, i);
	for (i = 0; i < MANY_PAGES; i += 97)
		ASSERT(page_holds(mapping + i * PAGE, i));
	unmap(mapping, MANY_PAGES);
	nothing_left(1);
}

/* No memory at all for the tracker of a large mapping: ENOMEM. */
static void tracker_large(void)
{
	long allocated = counter("pages_allocated");
	int mmap_errno;
	char *mapping;

	set_up(false, true);
	fail_in_module("fail_page_alloc", "-1");
	mapping = map_at(NULL, MANY_PAGES);
	mmap_errno = errno;
	set_off("fail_page_alloc");
	ASSERT(mapping == MAP_FAILED);
	ASSERT_EQ(mmap_errno, ENOMEM);
	ASSERT_EQ(counter("pages_allocated"), allocated);
	nothing_left(1);
}

/* Whether the module's mmap operation has failed for want of memory. */
static bool traced_enomem(void)
{
	char text[4096];

	trace_read(text, sizeof(text));
	return strstr(text, "mmap: ") && strstr(text, "error=-12");
}

/* mmap() while one page allocation after another fails; counts after how many pages it failed. */
static void sweep_populate(unsigned int failed_after[NR_PAGES])
{
	unsigned int nth;
	bool hit = true;

	for (nth = 1; hit; nth++) {
		long allocated = counter("pages_allocated"), freed = counter("pages_freed");
		char *mapping;

		ASSERT(nth < MAX_NTH);
		trace_start();
		arm(nth);
		mapping = map_at(FAR, NR_PAGES);
		hit = disarm();
		allocated = counter("pages_allocated") - allocated;
		if (mapping == MAP_FAILED) {
			ASSERT_EQ(errno, ENOMEM);
			ASSERT_EQ(counter("pages_freed") - freed, allocated);
			ASSERT(allocated < NR_PAGES);
			if (traced_enomem())
				failed_after[allocated]++;
		} else {
			ASSERT_EQ(allocated, NR_PAGES);
			unmap(mapping, NR_PAGES);
		}
		trace_stop();
		nothing_left(nth);
	}
}

/*
 * Pre-paging, no memory for the page table, or for the first, a middle or the last page: ENOMEM,
 * and the pages that were allocated before are freed. (Page table and first page are the two
 * that fail with no page allocated; a failed tracker of this size shows as neither, since the
 * allocator of slabs tries twice to get a page.)
 */
static void populate(void)
{
	unsigned int most[NR_PAGES] = {}, round, missed = 1, i;

	set_up(false, true);
	if (demand_paging())
		skip("the module allocates on demand");
	for (round = 0; round < MAX_ROUNDS && missed; round++) {
		unsigned int failed_after[NR_PAGES] = {};

		sweep_populate(failed_after);
		missed = 0;
		for (i = 0; i < NR_PAGES; i++) {
			if (failed_after[i] > most[i])
				most[i] = failed_after[i];
			missed += most[i] < (i ? 1 : 2);
		}
	}
	ASSERT(most[0] >= 2);
	for (i = 1; i < NR_PAGES; i++) {
		if (!most[i])
			FAIL("mmap() has never failed after %u pages", i);
	}
}

/* Demand paging, no memory for the page: SIGBUS, and the fault counts but allocates nothing. */
static void fault_page(void)
{
	long allocated = counter("pages_allocated"), faults = counter("faults");
	char text[1024], wanted[1024];
	char *mapping;
	int raised;

	set_up(false, true);
	if (!demand_paging())
		skip("the module allocates in advance");
	mapping = map_at(FAR, NR_PAGES);
	ASSERT_OK(mapping);
	/* With the page table there, the page is the only allocation. */
	mapping[0] = 1;
	trace_start();
	fail_in_module("fail_page_alloc", "1");
	raised = try_write(mapping + 2 * PAGE, 1);
	ASSERT_EQ(set_off("fail_page_alloc"), 0);
	ASSERT_EQ(raised, SIGBUS);
	ASSERT_EQ(counter("pages_allocated"), allocated + 1);
	ASSERT_EQ(counter("faults"), faults + 2);
	ASSERT_EQ(try_write(mapping + 2 * PAGE, 1), 0);
	ASSERT_EQ(counter("pages_allocated"), allocated + 2);
	snprintf(wanted, sizeof(wanted),
		 "fault: address=0x%lx index=2 result=SIGBUS\n"
		 "fault: address=0x%lx index=2 result=NOPAGE\n",
		 (unsigned long)mapping + 2 * PAGE, (unsigned long)mapping + 2 * PAGE);
	trace_read(text, sizeof(text));
	if (strcmp(text, wanted))
		FAIL("recorded were\n%sexpected were\n%s", text, wanted);
	trace_stop();
	unmap(mapping, NR_PAGES);
}

/* Touches a page while one page allocation after another fails; whether it lacked a page table. */
static bool sweep_page_table(void)
{
	bool hit = true, found = false;
	unsigned int nth;

	for (nth = 1; hit; nth++) {
		long allocated = counter("pages_allocated"), faults = counter("faults");
		char *mapping = map_at(FAR, NR_PAGES);
		char text[1024], wanted[1024];
		int raised;

		ASSERT_OK(mapping);
		trace_start();
		arm(nth);
		raised = try_write(mapping, 1);
		hit = disarm();
		snprintf(wanted, sizeof(wanted),
			 "fault: address=0x%lx index=0 result=OOM\n"
			 "fault: address=0x%lx index=0 result=NOPAGE\n",
			 (unsigned long)mapping, (unsigned long)mapping);
		trace_read(text, sizeof(text));
		if (strstr(text, "result=OOM")) {
			if (strcmp(text, wanted))
				FAIL("recorded were\n%sexpected were\n%s", text, wanted);
			ASSERT_EQ(raised, 0);
			ASSERT_EQ(counter("pages_allocated"), allocated + 1);
			ASSERT_EQ(counter("faults"), faults + 2);
			found = true;
		}
		trace_stop();
		unmap(mapping, NR_PAGES);
		nothing_left(nth);
	}
	return found;
}

/*
 * Demand paging, no memory for the page table: the core repeats the access, which finds the page
 * already allocated.
 */
static void fault_page_table(void)
{
	unsigned int round;

	set_up(false, true);
	if (!demand_paging())
		skip("the module allocates in advance");
	for (round = 0; round < MAX_ROUNDS; round++) {
		if (sweep_page_table())
			return;
	}
	FAIL("no page table was ever lacking");
}

static void load_without_device(void *argument)
{
	char parameters[256];
	int result, error;

	(void)argument;
	set_up(true, false);
	parameters_now(parameters, sizeof(parameters));
	ASSERT_OK(unload());
	fail_in_kernel("failslab", "1", "misc_register");
	result = load(parameters);
	error = errno;
	ASSERT_EQ(set_off("failslab"), 0);
	ASSERT(result);
	ASSERT_EQ(error, ENOMEM);
	ASSERT(!loaded());
	ASSERT(access("/dev/paging", F_OK));
}

/* No memory for the device: loading the module fails with ENOMEM and leaves nothing. */
static void load_refused(void)
{
	with_module_restored(load_without_device);
}

static void sweep_placement(void *argument)
{
	unsigned int nth, failed = 0;
	bool hit = true;

	(void)argument;
	/* Here, since what fails is set for a thread by its own file. */
	set_up(false, true);
	reload_with("placement=alternate colours=16");
	for (nth = 1; hit; nth = next_nth(nth)) {
		int raised = 0;
		char *mapping;

		ASSERT(nth < MAX_NTH);
		arm(nth);
		mapping = map_at(FAR, 2);
		if (mapping != MAP_FAILED)
			raised = try_write(mapping + PAGE, 1);
		hit = disarm();
		if (mapping != MAP_FAILED) {
			ASSERT(raised == 0 || raised == SIGBUS);
			/* A second try has all the memory there is. */
			ASSERT_EQ(try_write(mapping + PAGE, 1), 0);
			unmap(mapping, 2);
		}
		failed += mapping == MAP_FAILED || raised;
		nothing_left(nth);
		ASSERT_EQ(counter("pages_spare"), 0);
	}
	ASSERT(failed > 0);
}

/* Any allocation fails while a page of the right colour is looked for: no spare is lost. */
static void placement(void)
{
	with_module_restored(sweep_placement);
}

static const struct ktap_case cases[] = {
	{ .name = "mmap_small", .run = mmap_small, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "mmap_large", .run = mmap_large, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "munmap_whole", .run = munmap_whole, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "touch", .run = touch, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "fork_mappings", .run = fork_mappings, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "split", .run = split, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "move", .run = move, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "tracker_small", .run = tracker_small },
	{ .name = "tracker_vmalloc", .run = tracker_vmalloc },
	{ .name = "tracker_large", .run = tracker_large },
	{ .name = "populate", .run = populate, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "fault_page", .run = fault_page },
	{ .name = "fault_page_table", .run = fault_page_table },
	{ .name = "load", .run = load_refused },
	{ .name = "placement", .run = placement, .timeout_s = LONG_TIMEOUT_S },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

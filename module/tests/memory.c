// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real shortage of memory, and whether all memory comes back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"

/* These cases take seconds, and much longer on an emulated machine with a debug kernel. */
#define LONG_TIMEOUT_S 600

/* Free memory changes by as much as this without any doing of a case. */
#define NOISE_KB 4096

/*
 * How many pages more or less make a difference when there is no room for a mapping's page tables
 * (each is for 512 pages; some pages are kept for them and all else that is the kernel's own).
 */
#define EDGE_PAGES 1024UL

/* What one page table of 32-bit ARM maps: 2 MiB. */
#define PAGES_PER_TABLE 512

/* A number of /proc/meminfo, in KiB. */
static long memory(const char *name)
{
	FILE *file = fopen("/proc/meminfo", "re");
	size_t length = strlen(name);
	char line[128];
	long value = -1;

	if (!file)
		FAIL("/proc/meminfo: %s", strerror(errno));
	while (value < 0 && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, name, length) && line[length] == ':')
			sscanf(line + length + 1, "%ld", &value);
	}
	fclose(file);
	if (value < 0)
		FAIL("/proc/meminfo has no %s", name);
	return value;
}

/* Free memory in KiB: what MemFree says, and the pages that each CPU keeps for its next use. */
static long free_memory(void)
{
	return memory("MemFree") + kept_pages() * (long)(PAGE / 1024);
}

/*
 * The same and what slabs take, which says nothing about pages that a module has allocated for
 * itself: KASAN keeps freed objects in quarantine, as many as 1/32 of all memory.
 */
static long free_or_slab(void)
{
	return free_memory() + memory("Slab");
}

/* No noise from the scheduler. */
static void use_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	ASSERT_OK(sched_setaffinity(0, sizeof(set), &set));
}

static void sleep_ms(long ms)
{
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

/* Memory that is freed late (by RCU, by an exiting process) has a second to come back. */
static void expect_back(long (*measure)(void), long before_kb)
{
	long lost_kb = 0;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		lost_kb = before_kb - measure();
		if (lost_kb <= NOISE_KB)
			return;
		sleep_ms(50);
	}
	FAIL("%ld KiB of free memory are lost", lost_kb);
}

static void expect_no_oom_killer(int log)
{
	char line[512];

	while (log_next(log, line, sizeof(line))) {
		if (strstr(line, "oom-kill") || strstr(line, "Out of memory") ||
		    strstr(line, "OOM victim"))
			FAIL("the OOM killer has run: %s", line);
	}
}

static void expect_usable(void)
{
	char *mapping = map_pages(16, PROT_READ | PROT_WRITE);
	unsigned int i;

	for (i = 0; i < 16; i++) {
		ASSERT(page_is_zero(mapping + i * PAGE));
		fill_page(mapping + i * PAGE, i);
	}
	for (i = 0; i < 16; i++)
		ASSERT(page_holds(mapping + i * PAGE, i));
	ASSERT_OK(munmap(mapping, 16 * PAGE));
}

static size_t all_pages(void)
{
	return memory("MemTotal") * 1024 / PAGE;
}

/* Maps so many pages in advance, and unmaps them; returns whether there was room. */
static bool mmap_works(size_t pages)
{
	int fd = device(O_RDWR);
	char *mapping = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	bool works = mapping != MAP_FAILED;

	if (works)
		ASSERT_OK(munmap(mapping, pages * PAGE));
	else
		ASSERT_EQ(errno, ENOMEM);
	close(fd);
	return works;
}

/*
 * Pre-paging: mmap() of more than there is fails with ENOMEM when memory has run out, and is
 * undone; a smaller mapping then works.
 */
static void prepaging_enomem(void)
{
	size_t pages = all_pages(), had;
	long before_kb, free_kb;
	int log;

	if (demand_paging())
		skip("the module allocates on demand");
	use_one_cpu();
	log = log_follow();
	before_kb = free_or_slab();
	free_kb = free_memory();
	had = counter("pages_allocated");
	ASSERT(!mmap_works(pages));
	had = counter("pages_allocated") - had;
	ASSERT_EQ(counter("pages_live"), 0);
	ASSERT_EQ(counter("mappings"), 0);
	note("%zu of %zu pages were allocated", had, pages);
	/* It was memory that ran out, not a limit. */
	ASSERT(had < pages);
	ASSERT(had * (PAGE / 1024) > (size_t)free_kb * 9 / 10);
	expect_back(free_or_slab, before_kb);
	ASSERT(mmap_works(pages / 2));
	expect_back(free_or_slab, before_kb);
	expect_no_oom_killer(log);
	expect_usable();
	close(log);
}

/* Looks for the largest mapping that there is room for, and thereby tries those near it. */
static void bisect(void *argument)
{
	long allocated = counter("pages_allocated");
	size_t low, high;

	(void)argument;
	touch_own_memory();
	ASSERT(!mmap_works(all_pages()));
	allocated = counter("pages_allocated") - allocated;
	low = allocated - EDGE_PAGES;
	high = allocated + EDGE_PAGES;
	while (high - low > EDGE_PAGES / 4) {
		size_t middle = (low + high) / 2;

		if (mmap_works(middle))
			low = middle;
		else
			high = middle;
		ASSERT_EQ(counter("pages_live"), 0);
		ASSERT_EQ(counter("mappings"), 0);
	}
	note("there was room for %zu pages, and not for %zu", low, high);
}

/*
 * Pre-paging: a mapping that takes the last pages, so that its page tables no longer fit, fails
 * with ENOMEM as well, and the OOM killer does not run.
 */
static void prepaging_edge(void)
{
	int log, status;
	pid_t child;

	if (demand_paging())
		skip("the module allocates on demand");
	use_one_cpu();
	log = log_follow();
	child = start_child(bisect, NULL);
	ASSERT_EQ(waitpid(child, &status, 0), child);
	expect_no_oom_killer(log);
	ASSERT_EQ(status, 0);
	expect_usable();
	close(log);
}

/* Pre-paging: mmap() of more pages than the machine has is refused at once, with none allocated. */
static void prepaging_absurd(void)
{
	long allocated = counter("pages_allocated");
	size_t pages = all_pages() + 1;
	int fd = device(O_RDWR);

	if (demand_paging())
		skip("the module allocates on demand");
	ASSERT_ERRNO(mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0), ENOMEM);
	ASSERT_EQ(counter("pages_allocated"), allocated);
	expect_usable();
	close(fd);
}

/* What a child tells; in memory shared with it. */
struct told {
	size_t touched;
	int signal;
};

static sigjmp_buf escape;

static void on_signal(int number)
{
	siglongjmp(escape, number);
}

/* Writes its number to each page; stops at a signal. */
static void touch_until_signal(char *mapping, size_t pages, struct told *told)
{
	struct sigaction action = { .sa_handler = on_signal };
	size_t i;

	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
	told->signal = sigsetjmp(escape, 1);
	if (told->signal)
		return;
	for (i = 0; i < pages; i++) {
		__atomic_store_n((size_t *)(mapping + i * PAGE), i + 1, __ATOMIC_RELAXED);
		__atomic_store_n(&told->touched, i + 1, __ATOMIC_RELAXED);
	}
}

static void use_all_memory(void *argument)
{
	struct told *told = argument;
	size_t pages = all_pages(), i, wrong = 0;
	char *mapping = map_pages(pages, PROT_READ | PROT_WRITE);

	told->touched = 0;
	touch_own_memory();
	/* The page tables, which the core allocates, and with the OOM killer if need be. */
	for (i = 0; i < pages; i += PAGES_PER_TABLE)
		mapping[i * PAGE] = 1;
	mapping[(pages - 1) * PAGE] = 1;
	touch_until_signal(mapping, pages, told);
	for (i = 0; i < told->touched; i++)
		wrong += *(size_t *)(mapping + i * PAGE) != i + 1;
	ASSERT_EQ(wrong, 0);
	/*
	 * Its end unmaps all. A munmap() here would have the core allocate while there is nothing
	 * left, with the OOM killer.
	 */
}

/*
 * Demand paging: a touch for which there is no page raises SIGBUS; the process lives on and all
 * pages touched before keep their data; the OOM killer does not run; all memory comes back.
 */
static void demand_sigbus(void)
{
	struct told *told = shared_memory(sizeof(*told));
	long before_kb, free_kb;
	int log;

	if (!demand_paging())
		skip("the module allocates in advance");
	use_one_cpu();
	log = log_follow();
	before_kb = free_or_slab();
	free_kb = free_memory();
	in_child(use_all_memory, told);
	note("%zu of %zu pages were touched", told->touched, all_pages());
	ASSERT_EQ(told->signal, SIGBUS);
	ASSERT(told->touched * (PAGE / 1024) > (size_t)free_kb * 9 / 10);
	ASSERT_EQ(counter("pages_live"), 0);
	expect_back(free_or_slab, before_kb);
	expect_no_oom_killer(log);
	expect_usable();
	close(log);
}

static void map_and_touch(void *argument)
{
	size_t pages = all_pages() / 4 * 3;
	char *mapping = map_pages(pages, PROT_READ | PROT_WRITE);
	size_t i;

	(void)argument;
	for (i = 0; i < pages; i++)
		mapping[i * PAGE] = 1;
	FAIL("all pages were allocated before the signal came");
}

/* A fatal signal ends the allocation of a large mapping early, and nothing of it is left. */
static void killed(void)
{
	long allocated = counter("pages_allocated"), before_kb, enough = all_pages() / 16;
	size_t pages = all_pages() / 4 * 3;
	pid_t child;
	int status;

	use_one_cpu();
	before_kb = free_or_slab();
	child = start_child(map_and_touch, NULL);
	while (counter("pages_allocated") - allocated < enough) {
		if (waitpid(child, &status, WNOHANG))
			FAIL("the child has ended early");
		sleep_ms(1);
	}
	ASSERT_OK(kill(child, SIGKILL));
	ASSERT_EQ(waitpid(child, &status, 0), child);
	ASSERT(WIFSIGNALED(status));
	ASSERT_EQ(WTERMSIG(status), SIGKILL);
	allocated = counter("pages_allocated") - allocated;
	note("%ld of %zu pages were allocated", allocated, pages);
	ASSERT(allocated < (long)pages);
	ASSERT_EQ(counter("pages_live"), 0);
	ASSERT_EQ(counter("mappings"), 0);
	expect_back(free_or_slab, before_kb);
}

/* Maps, touches and unmaps so many pages so many times. */
static void cycles(size_t pages, unsigned int count)
{
	int fd = device(O_RDWR);
	size_t i;

	while (count-- > 0) {
		char *mapping = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				     0);

		ASSERT_OK(mapping);
		for (i = 0; i < pages; i++)
			mapping[i * PAGE] = 1;
		ASSERT_OK(munmap(mapping, pages * PAGE));
	}
	close(fd);
}

/* Free memory, as the system has it and not as the module says, must be what it was. */
static void expect_returned(size_t pages, unsigned int count)
{
	long before_kb;

	use_one_cpu();
	/* Lists and caches fill up first. */
	cycles(pages, count / 16 + 1);
	before_kb = free_or_slab();
	cycles(pages, count);
	expect_back(free_or_slab, before_kb);
}

/* Thousands of mappings of one page give all of it back: one page lost by each would be seen. */
static void returned_small(void)
{
	expect_returned(1, 4 * NOISE_KB * 1024 / PAGE);
}

/* So do mappings of many pages. */
static void returned_large(void)
{
	expect_returned(16, 2 * NOISE_KB * 1024 / PAGE);
	expect_returned(1000, 20);
}

/*
 * The module's own memory for a mapping, which grows with its size, is given back too. (A power of
 * two of pointers and a few numbers take twice the memory of the pointers.)
 */
static void returned_tracker(void)
{
	const size_t pages = demand_paging() ? 65536 : 2048;
	const unsigned int count = demand_paging() ? 16 : 330;
	int fd = device(O_RDWR);
	long before_kb = 0;
	unsigned int i;

	ASSERT(count * pages * 2 * sizeof(void *) / 1024 > NOISE_KB * 5 / 4);
	if (mounted("debugfs", "/sys/kernel/debug") && !access("/sys/kernel/debug/kmemleak", F_OK))
		skip("kmemleak looks for it");
	use_one_cpu();
	for (i = 0; i < count + count / 8; i++) {
		char *mapping;

		if (i == count / 8)
			before_kb = free_memory();
		mapping = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
		ASSERT_OK(mapping);
		ASSERT_OK(munmap(mapping, pages * PAGE));
	}
	close(fd);
	expect_back(free_memory, before_kb);
}

static const struct ktap_case cases[] = {
	{ .name = "prepaging_enomem", .run = prepaging_enomem, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "prepaging_edge", .run = prepaging_edge, .timeout_s = 2 * LONG_TIMEOUT_S },
	{ .name = "prepaging_absurd", .run = prepaging_absurd },
	{ .name = "demand_sigbus", .run = demand_sigbus, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "killed", .run = killed, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "returned_small", .run = returned_small, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "returned_large", .run = returned_large, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "returned_tracker", .run = returned_tracker, .timeout_s = LONG_TIMEOUT_S },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

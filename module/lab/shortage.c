// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shortage of memory: whoever asks for too much is told, the kernel lives on, and all comes back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/lab.h"
#include "lib/memory.h"

#define LONG_TIMEOUT_S 200

/* One mapping of these; many of them take all memory. */
#define CHUNK_PAGES 4096UL

/* Of a page table of 32-bit ARM. */
#define TABLE_PAGES 512UL

/* What the child tells; in memory shared with it. */
struct told {
	size_t touched;		/* pages */
	int error;		/* of mmap(2) */
	int signal;		/* SIGBUS of a touch */
	bool lost;		/* a page did not hold what was written to it */
	bool intact;		/* what was touched before kept its data */
};

static sigjmp_buf escape;

static void on_signal(int number)
{
	siglongjmp(escape, number);
}

/* Writes to some pages of a mapping, so that all its page tables are there. */
static void make_page_tables(char *mapping)
{
	size_t i;

	for (i = 0; i < CHUNK_PAGES; i += TABLE_PAGES)
		mapping[i * PAGE] = 1;
	mapping[(CHUNK_PAGES - 1) * PAGE] = 1;
}

/*
 * Writes its number to each page of a mapping, after the pages of those before; returns whether
 * the page before holds its own. Looks at once: the kernel may kill the process before it comes
 * round to that.
 */
static bool touch_chunk(char *mapping, struct told *told)
{
	size_t i;

	for (i = 0; i < CHUNK_PAGES; i++) {
		size_t *page = (size_t *)(mapping + i * PAGE);

		__atomic_store_n(page, told->touched + 1, __ATOMIC_RELAXED);
		told->lost = i && __atomic_load_n(page - PAGE / sizeof(*page),
						  __ATOMIC_RELAXED) != told->touched;
		if (told->lost)
			return false;
		__atomic_store_n(&told->touched, told->touched + 1, __ATOMIC_RELAXED);
	}
	return true;
}

/*
 * Maps more than there is, or what it gets, if that takes no memory yet. The kernel kills who
 * gets no page table: with these made first it is the module that has no page to give.
 */
static void map_all_memory(char **chunks, size_t most)
{
	size_t free = free_pages(), count = free / CHUNK_PAGES + 2, i;

	chunks[0] = try_map(CHUNK_PAGES);
	if (free_pages() + CHUNK_PAGES / 2 < free)
		return;
	for (i = 0; i < MIN(count, most) && chunks[i]; i++) {
		make_page_tables(chunks[i]);
		chunks[i + 1] = try_map(CHUNK_PAGES);
	}
}

/* Maps and touches until it is refused, gets SIGBUS, or is killed. */
static void use_all_memory(void *argument)
{
	struct sigaction action = { .sa_handler = on_signal };
	static char *chunks[1024];
	struct told *told = argument;
	size_t i;

	/* If the kernel has to kill somebody, then this one. */
	ASSERT_OK(write_text("/proc/self/oom_score_adj", "1000"));
	touch_own_memory();
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
	told->signal = sigsetjmp(escape, 1);
	if (!told->signal) {
		map_all_memory(chunks, ARRAY_SIZE(chunks) - 1);
		for (i = 0; i < ARRAY_SIZE(chunks); i++) {
			if (!chunks[i])
				chunks[i] = try_map(CHUNK_PAGES);
			if (!chunks[i]) {
				told->error = errno;
				break;
			}
			if (!touch_chunk(chunks[i], told))
				return;
		}
	}
	told->intact = true;
	for (i = 0; i < told->touched; i++) {
		const char *page = chunks[i / CHUNK_PAGES] + i % CHUNK_PAGES * PAGE;

		told->intact &= *(const size_t *)page == i + 1;
	}
}

static void expect_usable(void)
{
	char *mapping = map_pages(16);

	ASSERT(pages_are_zero(mapping, 16));
	fill_pages(mapping, 1, 16);
	ASSERT(pages_hold(mapping, 1, 16));
	unmap_pages(mapping, 16);
}

/*
 * A process that maps and touches more than there is gets ENOMEM from mmap(), or SIGBUS for the
 * touch, and what it has touched before keeps its data; or the kernel kills it for want of memory.
 * All it had comes back, and the device goes on.
 */
static void all_memory(void)
{
	struct told *told = shared_memory(sizeof(*told));
	struct memory before;
	size_t free;
	pid_t child;
	int status;

	expect_usable();
	before = memory_now();
	free = free_pages();
	child = start_child(use_all_memory, told);
	ASSERT_EQ(waitpid(child, &status, 0), child);
	if (told->lost)
		FAIL("page %zu does not hold what was written to it", told->touched);
	if (WIFSIGNALED(status))
		ASSERT_EQ(WTERMSIG(status), SIGKILL);
	else
		ASSERT_EQ(WEXITSTATUS(status), 0);
	if (!WIFSIGNALED(status)) {
		if (told->signal)
			ASSERT_EQ(told->signal, SIGBUS);
		else
			ASSERT_EQ(told->error, ENOMEM);
		ASSERT(told->intact);
	}
	if (told->touched < free / 10 * 8)
		FAIL("%zu of %zu free pages could be touched", told->touched, free);
	expect_returned(&before);
	expect_usable();
}

static void map_in_excess(void *argument)
{
	struct told *told = argument;
	size_t pages = (size_t)sysconf(_SC_PHYS_PAGES) / 8 * 9;

	ASSERT_OK(write_text("/proc/self/oom_score_adj", "1000"));
	touch_own_memory();
	told->error = try_map(pages) ? 0 : errno;
}

/*
 * One mapping that is larger than memory is refused with ENOMEM, or made if its pages come later;
 * or the kernel kills who asked for it. Nothing of it is left.
 */
static void one_mapping(void)
{
	struct told *told = shared_memory(sizeof(*told));
	struct memory before;
	pid_t child;
	int status;

	expect_usable();
	before = memory_now();
	child = start_child(map_in_excess, told);
	ASSERT_EQ(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		ASSERT_EQ(WTERMSIG(status), SIGKILL);
	else
		ASSERT_EQ(WEXITSTATUS(status), 0);
	if (told->error)
		ASSERT_EQ(told->error, ENOMEM);
	expect_returned(&before);
	expect_usable();
}

static const struct ktap_case cases[] = {
	{ .name = "all_memory", .run = all_memory, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "one_mapping", .run = one_mapping, .timeout_s = LONG_TIMEOUT_S },
};

int main(int argc, char **argv)
{
	use_one_cpu();
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

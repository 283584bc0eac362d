// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings and the processes that share them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"

#define NR_PAGES 16
#define NR_CHILDREN 32
#define READ_WRITE (PROT_READ | PROT_WRITE)

static int gate[2];	/* a pipe */

static void make_gate(void)
{
	ASSERT_OK(pipe(gate));
}

/* Waits until some process opens the gate for this one. */
static void wait_at_gate(void)
{
	char token;

	ASSERT_EQ(read(gate[0], &token, 1), 1);
}

static void open_gate(void)
{
	ASSERT_EQ(write(gate[1], "", 1), 1);
}

static void read_and_overwrite(void *mapping)
{
	long faults = counter("faults");

	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	fill_pages(mapping, 100, NR_PAGES);
	/* fork() has copied the page table. */
	ASSERT_EQ(counter("faults"), faults);
}

/* A child sees its parent's data and the parent sees the child's; no page is allocated for it. */
static void shared_both_ways(void)
{
	long allocated = counter("pages_allocated");
	char *mapping = map_pages(NR_PAGES, READ_WRITE);

	fill_pages(mapping, 0, NR_PAGES);
	in_child(read_and_overwrite, mapping);
	ASSERT(pages_hold(mapping, 100, NR_PAGES));
	ASSERT_EQ(counter("pages_allocated") - allocated, NR_PAGES);
	ASSERT_EQ(counter("mappings"), 1);
}

static void fill_upper_half(void *mapping)
{
	char *half = (char *)mapping + NR_PAGES / 2 * PAGE;

	ASSERT(pages_are_zero(half, NR_PAGES / 2));
	fill_pages(half, NR_PAGES / 2, NR_PAGES / 2);
}

/* Pages that a child touches first are the parent's as well, also after the child has gone. */
static void touched_by_child(void)
{
	long allocated = counter("pages_allocated");
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	long faults = counter("faults");

	fill_pages(mapping, 0, NR_PAGES / 2);
	in_child(fill_upper_half, mapping);
	ASSERT_EQ(counter("pages_allocated") - allocated, NR_PAGES);
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	ASSERT_EQ(counter("pages_allocated") - allocated, NR_PAGES);
	/* Half of the pages by the parent, the other half by both. */
	ASSERT_EQ(counter("faults") - faults, by_mode(NR_PAGES + NR_PAGES / 2, 0));
}

static void do_nothing(void *unused)
{
	(void)unused;
}

/* The end of a child frees nothing: the parent's pages stay, with what they hold. */
static void outlives_child(void)
{
	long freed = counter("pages_freed");
	char *mapping = map_pages(NR_PAGES, READ_WRITE);

	fill_pages(mapping, 0, NR_PAGES);
	in_child(do_nothing, NULL);
	/* First this: pages that had been freed must not be touched. */
	ASSERT_EQ(counter("pages_freed"), freed);
	ASSERT_EQ(counter("pages_live"), NR_PAGES);
	ASSERT_EQ(counter("mappings"), 1);
	ASSERT(pages_hold(mapping, 0, NR_PAGES));

	ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
	ASSERT_EQ(counter("pages_freed") - freed, NR_PAGES);
}

static void inherit(void *mapping)
{
	wait_at_gate();
	ASSERT(pages_hold(mapping, 0, NR_PAGES / 2));
	fill_upper_half(mapping);
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
}

static void bequeath(void *unused)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);

	(void)unused;
	fill_pages(mapping, 0, NR_PAGES / 2);
	start_child(inherit, mapping);
}

/*
 * The end of the process that made a mapping frees nothing while a child has it: the child keeps
 * the data, and gets the pages that no one has touched. All are freed when the child ends.
 */
static void outlives_parent(void)
{
	long freed = counter("pages_freed");
	int status;

	make_gate();
	/* The orphan becomes a child of this process. */
	ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	in_child(bequeath, NULL);
	ASSERT_EQ(counter("pages_freed"), freed);
	ASSERT_EQ(counter("pages_live"), by_mode(NR_PAGES / 2, NR_PAGES));
	ASSERT_EQ(counter("mappings"), 1);

	open_gate();
	ASSERT_OK(wait(&status));
	ASSERT_EQ(status, 0);
	ASSERT_EQ(counter("pages_freed") - freed, NR_PAGES);
	ASSERT_EQ(counter("mappings"), 0);
}

struct family {
	char *mapping;
	unsigned int number;
};

static void take_part(void *argument)
{
	struct family *family = argument;
	char *own = family->mapping + (1 + family->number) * PAGE;

	ASSERT(page_holds(family->mapping, 1000));
	wait_at_gate();
	fill_page(own, family->number);
	ASSERT(page_holds(own, family->number));
}

/* Many children at once share one mapping: each fills a page, and the parent has them all. */
static void many_children(void)
{
	long allocated = counter("pages_allocated");
	char *mapping = map_pages(1 + NR_CHILDREN, READ_WRITE);
	pid_t children[NR_CHILDREN];
	unsigned int i;

	make_gate();
	fill_page(mapping, 1000);
	for (i = 0; i < NR_CHILDREN; i++) {
		struct family family = { .mapping = mapping, .number = i };

		children[i] = start_child(take_part, &family);
	}
	ASSERT_EQ(counter("mappings"), 1);
	ASSERT_EQ(counter("pages_allocated") - allocated, by_mode(1, 1 + NR_CHILDREN));
	for (i = 0; i < NR_CHILDREN; i++)
		open_gate();
	for (i = 0; i < NR_CHILDREN; i++)
		expect_exit(children[i]);
	ASSERT(page_holds(mapping, 1000));
	ASSERT(pages_hold(mapping + PAGE, 0, NR_CHILDREN));
	ASSERT_EQ(counter("pages_allocated") - allocated, 1 + NR_CHILDREN);
}

static void expect_no_access(void *mapping)
{
	ASSERT_EQ(try_read(mapping), SIGSEGV);
	ASSERT_EQ(try_write(mapping, 1), SIGSEGV);
	wait_at_gate();
}

/* After MADV_DONTFORK a child does not have the mapping (SIGSEGV), nor keeps the pages. */
static void dontfork(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	long freed = counter("pages_freed");
	pid_t child;

	make_gate();
	fill_pages(mapping, 0, NR_PAGES);
	ASSERT_OK(madvise(mapping, NR_PAGES * PAGE, MADV_DONTFORK));
	child = start_child(expect_no_access, mapping);
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
	ASSERT_EQ(counter("pages_freed") - freed, NR_PAGES);
	ASSERT_EQ(counter("mappings"), 0);
	open_gate();
	expect_exit(child);
}

/* exec drops a mapping, also the last one of its pages, while the process goes on. */
static void exec_drops(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	long freed = counter("pages_freed");
	int to_cat[2], from_cat[2];
	pid_t child;
	char byte;

	fill_pages(mapping, 0, NR_PAGES);
	ASSERT_OK(pipe(to_cat));
	ASSERT_OK(pipe(from_cat));
	child = fork();
	ASSERT_OK(child);
	if (!child) {
		ASSERT_OK(dup2(to_cat[0], STDIN_FILENO));
		ASSERT_OK(dup2(from_cat[1], STDOUT_FILENO));
		close(to_cat[1]);
		execlp("cat", "cat", NULL);
		FAIL("cat: %s", strerror(errno));
	}
	ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));

	/* The byte comes back from the new program. */
	ASSERT_EQ(write(to_cat[1], "x", 1), 1);
	ASSERT_EQ(read(from_cat[0], &byte, 1), 1);
	ASSERT_EQ(counter("pages_freed") - freed, NR_PAGES);
	ASSERT_EQ(counter("mappings"), 0);
	ASSERT_OK(close(to_cat[1]));
	expect_exit(child);
}

/* A child of vfork uses the parent's mapping itself; its exec leaves that as it is. */
static void vfork_keeps(void)
{
	static char *mapping;
	long freed = counter("pages_freed");
	pid_t child;

	mapping = map_pages(NR_PAGES, READ_WRITE);
	fill_pages(mapping, 0, NR_PAGES);
	child = vfork();
	ASSERT_OK(child);
	if (!child) {
		mapping[PAGE] = 77;
		execlp("true", "true", NULL);
		_exit(1);
	}
	ASSERT_EQ(counter("pages_freed"), freed);
	ASSERT_EQ(counter("mappings"), 1);
	expect_exit(child);
	ASSERT_EQ(mapping[PAGE], 77);
	ASSERT(page_holds(mapping, 0));
	ASSERT(pages_hold(mapping + 2 * PAGE, 2, NR_PAGES - 2));
}

static void check_pieces(void *argument)
{
	char *mapping = argument;

	wait_at_gate();
	ASSERT_EQ(try_read(mapping + 4 * PAGE), SIGSEGV);
	ASSERT_EQ(try_read(mapping + 5 * PAGE), SIGSEGV);
	ASSERT_EQ(try_write(mapping + 8 * PAGE, 1), SIGSEGV);
	ASSERT(pages_hold(mapping, 0, 4));
	ASSERT(pages_hold(mapping + 6 * PAGE, 6, 6));
	ASSERT(pages_are_zero(mapping + 12 * PAGE, 4));
	ASSERT_OK(munmap(mapping, 4 * PAGE));
	fill_pages(mapping + 12 * PAGE, 12, 4);
	ASSERT(pages_hold(mapping + 6 * PAGE, 6, 10));
}

/*
 * A child inherits all pieces of a mapping that was split by munmap and mprotect, and keeps the
 * pages when its parent has unmapped every piece.
 */
static void split_mapping(void)
{
	long freed = counter("pages_freed");
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	pid_t child;

	make_gate();
	fill_pages(mapping, 0, 12);
	ASSERT_OK(munmap(mapping + 4 * PAGE, 2 * PAGE));
	ASSERT_OK(mprotect(mapping + 8 * PAGE, 2 * PAGE, PROT_READ));
	child = start_child(check_pieces, mapping);
	ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
	ASSERT_EQ(counter("pages_freed"), freed);
	ASSERT_EQ(counter("mappings"), 1);
	open_gate();
	expect_exit(child);
	ASSERT_EQ(counter("pages_freed") - freed, NR_PAGES);
	ASSERT_EQ(counter("mappings"), 0);
}

static const struct ktap_case cases[] = {
	{ .name = "shared_both_ways", .run = shared_both_ways },
	{ .name = "touched_by_child", .run = touched_by_child },
	{ .name = "outlives_child", .run = outlives_child },
	{ .name = "outlives_parent", .run = outlives_parent },
	{ .name = "many_children", .run = many_children },
	{ .name = "dontfork", .run = dontfork },
	{ .name = "exec_drops", .run = exec_drops },
	{ .name = "vfork_keeps", .run = vfork_keeps },
	{ .name = "split_mapping", .run = split_mapping },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings that a forked child shares with its parent: the mapping is MAP_SHARED, so whatever one
 * of them writes, in whatever order pages are touched, the other one reads.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/lab.h"

#define NR_PAGES 16
#define NR_CHILDREN 8

static void expect_data(void *mapping)
{
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
}

/* A child reads what its parent has written. */
static void child_reads(void)
{
	char *mapping = map_pages(NR_PAGES);

	fill_pages(mapping, 0, NR_PAGES);
	in_child(expect_data, mapping);
	unmap_pages(mapping, NR_PAGES);
}

static void overwrite(void *mapping)
{
	fill_pages(mapping, 100, NR_PAGES);
}

/* The parent reads what its child has written over its data. */
static void child_writes(void)
{
	char *mapping = map_pages(NR_PAGES);

	fill_pages(mapping, 0, NR_PAGES);
	in_child(overwrite, mapping);
	ASSERT(pages_hold(mapping, 100, NR_PAGES));
	unmap_pages(mapping, NR_PAGES);
}

static void fill_first(void *mapping)
{
	ASSERT(pages_are_zero(mapping, NR_PAGES));
	fill_pages(mapping, 200, NR_PAGES);
}

/* Pages that the child touches first are the parent's as well, also when the child has gone. */
static void child_touches_first(void)
{
	char *mapping = map_pages(NR_PAGES);

	in_child(fill_first, mapping);
	reuse_freed_memory();
	ASSERT(pages_hold(mapping, 200, NR_PAGES));
	unmap_pages(mapping, NR_PAGES);
}

static void do_nothing(void *unused)
{
	(void)unused;
}

/* The end of a child frees nothing of what its parent has. */
static void child_ends(void)
{
	char *mapping = map_pages(NR_PAGES);

	fill_pages(mapping, 0, NR_PAGES / 2);
	in_child(do_nothing, NULL);
	reuse_freed_memory();
	ASSERT(pages_hold(mapping, 0, NR_PAGES / 2));
	ASSERT(pages_are_zero(mapping + NR_PAGES / 2 * PAGE, NR_PAGES / 2));
	unmap_pages(mapping, NR_PAGES);
}

static void unmap(void *mapping)
{
	unmap_pages(mapping, NR_PAGES);
}

/* Nor does a child that unmaps what it has inherited. */
static void child_unmaps(void)
{
	char *mapping = map_pages(NR_PAGES);

	fill_pages(mapping, 0, NR_PAGES);
	in_child(unmap, mapping);
	reuse_freed_memory();
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	unmap_pages(mapping, NR_PAGES);
}

static int gate[2];	/* a pipe */

static void outlive(void *mapping)
{
	char byte;

	ASSERT_EQ(read(gate[0], &byte, 1), 1);
	ASSERT(pages_hold(mapping, 0, NR_PAGES / 2));
	ASSERT(pages_are_zero((char *)mapping + NR_PAGES / 2 * PAGE, NR_PAGES / 2));
	fill_pages((char *)mapping + NR_PAGES / 2 * PAGE, NR_PAGES / 2, NR_PAGES / 2);
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
}

static void bequeath(void *unused)
{
	char *mapping = map_pages(NR_PAGES);

	(void)unused;
	fill_pages(mapping, 0, NR_PAGES / 2);
	start_child(outlive, mapping);
}

/* A child keeps the data when its parent has gone, and gets the pages that no one has touched. */
static void parent_ends(void)
{
	int status;

	ASSERT_OK(pipe(gate));
	/* The orphan becomes a child of this process. */
	ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	in_child(bequeath, NULL);
	reuse_freed_memory();
	ASSERT_EQ(write(gate[1], "", 1), 1);
	ASSERT_OK(wait(&status));
	ASSERT_EQ(status, 0);
}

struct family {
	char *mapping;
	unsigned int number;
};

static void take_part(void *argument)
{
	const struct family *family = argument;

	fill_page(family->mapping + family->number * PAGE, family->number);
}

/* Many children fill a page each, and the parent has them all. */
static void many_children(void)
{
	char *mapping = map_pages(NR_CHILDREN);
	pid_t children[NR_CHILDREN];
	unsigned int i;

	for (i = 0; i < NR_CHILDREN; i++) {
		struct family family = { .mapping = mapping, .number = i };

		children[i] = start_child(take_part, &family);
	}
	for (i = 0; i < NR_CHILDREN; i++)
		expect_exit(children[i]);
	reuse_freed_memory();
	ASSERT(pages_hold(mapping, 0, NR_CHILDREN));
	unmap_pages(mapping, NR_CHILDREN);
}

static const struct ktap_case cases[] = {
	{ .name = "child_reads", .run = child_reads },
	{ .name = "child_writes", .run = child_writes },
	{ .name = "child_touches_first", .run = child_touches_first },
	{ .name = "child_ends", .run = child_ends },
	{ .name = "child_unmaps", .run = child_unmaps },
	{ .name = "parent_ends", .run = parent_ends },
	{ .name = "many_children", .run = many_children },
};

int main(int argc, char **argv)
{
	use_one_cpu();
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

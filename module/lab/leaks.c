// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether all memory comes back, in whatever way mappings go: rounds that lose some of it lose more
 * than noise together.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/lab.h"
#include "lib/memory.h"

#define LONG_TIMEOUT_S 300

/* One page of eight that is lost in each round is 2 MiB in all. */
#define FEW_PAGES 8
#define NR_ROUNDS 512

static void map_touch_unmap(void *unused)
{
	char *mapping = map_pages(FEW_PAGES);

	(void)unused;
	touch_pages(mapping, FEW_PAGES);
	unmap_pages(mapping, FEW_PAGES);
}

/* Pages that were touched come back. */
static void touched(void)
{
	expect_no_growth(map_touch_unmap, NULL, NR_ROUNDS);
}

static void map_unmap(void *unused)
{
	(void)unused;
	unmap_pages(map_pages(1), 1);
}

/* What the module takes for a mapping itself comes back: 64 bytes lost of each are 512 KiB. */
static void untouched(void)
{
	expect_no_growth(map_unmap, NULL, 8192);
}

static void map_many(void *unused)
{
	const size_t pages = 4096;
	char *mapping = map_pages(pages);

	(void)unused;
	touch_pages(mapping, 1);
	touch_pages(mapping + (pages - 1) * PAGE, 1);
	unmap_pages(mapping, pages);
}

/* What the module takes for a large mapping itself comes back. */
static void large(void)
{
	expect_no_growth(map_many, NULL, 64);
}

static void unmap_in_parts(void *unused)
{
	char *mapping = map_pages(FEW_PAGES);

	(void)unused;
	touch_pages(mapping, FEW_PAGES);
	unmap_pages(mapping + 2 * PAGE, 2);
	unmap_pages(mapping + 6 * PAGE, 2);
	unmap_pages(mapping, 2);
	unmap_pages(mapping + 4 * PAGE, 2);
}

/* A mapping that goes in parts gives all back when the last one has gone. */
static void in_parts(void)
{
	expect_no_growth(unmap_in_parts, NULL, NR_ROUNDS);
}

static void move_and_unmap(void *unused)
{
	char *target = reserve_pages(FEW_PAGES);
	char *mapping = map_pages(FEW_PAGES);

	(void)unused;
	touch_pages(mapping, FEW_PAGES);
	ASSERT(mremap(mapping, FEW_PAGES * PAGE, FEW_PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      target) == target);
	unmap_pages(target, FEW_PAGES);
}

/* A mapping that was moved gives all back. */
static void moved(void)
{
	expect_no_growth(move_and_unmap, NULL, NR_ROUNDS);
}

static void touch_inherited(void *mapping)
{
	touch_pages(mapping, FEW_PAGES);
}

static void share_with_child(void *unused)
{
	char *mapping = map_pages(FEW_PAGES);

	(void)unused;
	touch_pages(mapping, FEW_PAGES / 2);
	in_child(touch_inherited, mapping);
	touch_pages(mapping, FEW_PAGES);
	unmap_pages(mapping, FEW_PAGES);
}

/* A mapping that a child had as well gives all back. */
static void forked(void)
{
	expect_no_growth(share_with_child, NULL, NR_ROUNDS / 4);
}

static void leave_mapped(void *unused)
{
	(void)unused;
	touch_pages(map_pages(FEW_PAGES), FEW_PAGES);
}

static void child_leaves(void *unused)
{
	(void)unused;
	in_child(leave_mapped, NULL);
}

/* A process that ends without unmapping anything gives all back. */
static void exited(void)
{
	expect_no_growth(child_leaves, NULL, NR_ROUNDS / 4);
}

static int ready[2];	/* a pipe */

static void wait_to_be_killed(void *unused)
{
	const size_t pages = 64;
	char *mapping = map_pages(pages);

	(void)unused;
	touch_pages(mapping, pages);
	ASSERT_EQ(write(ready[1], "", 1), 1);
	for (;;)
		pause();
}

static void kill_child(void *unused)
{
	pid_t child = start_child(wait_to_be_killed, NULL);
	int status;
	char byte;

	(void)unused;
	ASSERT_EQ(read(ready[0], &byte, 1), 1);
	ASSERT_OK(kill(child, SIGKILL));
	ASSERT_EQ(waitpid(child, &status, 0), child);
	ASSERT(WIFSIGNALED(status));
	ASSERT_EQ(WTERMSIG(status), SIGKILL);
}

/* A process that is killed gives all back. */
static void killed(void)
{
	ASSERT_OK(pipe(ready));
	expect_no_growth(kill_child, NULL, NR_ROUNDS / 8);
}

static const struct ktap_case cases[] = {
	{ .name = "touched", .run = touched, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "untouched", .run = untouched, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "large", .run = large, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "in_parts", .run = in_parts, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "moved", .run = moved, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "forked", .run = forked, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "exited", .run = exited, .timeout_s = LONG_TIMEOUT_S },
	{ .name = "killed", .run = killed, .timeout_s = LONG_TIMEOUT_S },
};

int main(int argc, char **argv)
{
	use_one_cpu();
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unloading the module: not while somebody uses it, and without a trace otherwise.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/lab.h"
#include "lib/memory.h"

#define NR_PAGES 4

static int unload(void)
{
	return syscall(SYS_delete_module, ktap_options.module, O_NONBLOCK);
}

static void load(void)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/lib/modules/%s.ko", ktap_options.module);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL("%s: %s", path, strerror(errno));
	if (syscall(SYS_finit_module, fd, ktap_options.parameters, 0))
		FAIL("the module cannot be loaded again: %s", strerror(errno));
	close(fd);
}

static void need_module(void)
{
	if (!ktap_options.module)
		skip("the suite does not say how the module is called");
}

/* Not while the device is open. */
static void while_open(void)
{
	int fd;

	need_module();
	fd = device();
	ASSERT_ERRNO(unload(), EWOULDBLOCK);
	close(fd);
}

/* Nor while a part of a mapping is left, be the descriptor closed. */
static void while_mapped(void)
{
	char *mapping;

	need_module();
	mapping = map_pages(NR_PAGES);
	fill_pages(mapping, 1, NR_PAGES);
	ASSERT_ERRNO(unload(), EWOULDBLOCK);
	ASSERT(pages_hold(mapping, 1, NR_PAGES));
	unmap_pages(mapping + PAGE, NR_PAGES - 1);
	ASSERT_ERRNO(unload(), EWOULDBLOCK);
	ASSERT(page_holds(mapping, 1));
	unmap_pages(mapping, 1);
}

static int gate[2];	/* a pipe */

static void keep_mapping(void *mapping)
{
	char byte;

	ASSERT_EQ(read(gate[0], &byte, 1), 1);
	ASSERT(pages_hold(mapping, 1, NR_PAGES));
}

/* Nor while a child alone still has it. */
static void while_inherited(void)
{
	char *mapping;
	pid_t child;

	need_module();
	ASSERT_OK(pipe(gate));
	mapping = map_pages(NR_PAGES);
	fill_pages(mapping, 1, NR_PAGES);
	child = start_child(keep_mapping, mapping);
	unmap_pages(mapping, NR_PAGES);
	ASSERT_ERRNO(unload(), EWOULDBLOCK);
	ASSERT_EQ(write(gate[1], "", 1), 1);
	expect_exit(child);
}

static void use_and_reload(void *unused)
{
	char *mapping = map_pages(NR_PAGES);

	(void)unused;
	fill_pages(mapping, 1, NR_PAGES);
	unmap_pages(mapping, NR_PAGES);
	ASSERT_OK(unload());
	ASSERT_ERRNO(access(DEVICE_PATH, F_OK), ENOENT);
	load();
}

/* It can be unloaded when nobody uses it: the device goes, comes back with it, and works. */
static void and_load(void)
{
	need_module();
	use_and_reload(NULL);
	use_and_reload(NULL);
}

/* Loading, using and unloading it again and again loses no memory. */
static void loses_nothing(void)
{
	need_module();
	expect_no_growth(use_and_reload, NULL, 64);
}

static const struct ktap_case cases[] = {
	{ .name = "while_open", .run = while_open },
	{ .name = "while_mapped", .run = while_mapped },
	{ .name = "while_inherited", .run = while_inherited },
	{ .name = "and_load", .run = and_load },
	{ .name = "loses_nothing", .run = loses_nothing, .timeout_s = 300 },
};

int main(int argc, char **argv)
{
	use_one_cpu();
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading and unloading the module: what keeps it loaded, its parameters, and what it leaves.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"
#include "paging/reload.h"

#define DEVICE_FOLDER "/sys/class/misc/" PAGING_DEVICE_NAME

static const char * const counters[] = {
	"pages_allocated", "pages_freed", "pages_live", "pages_spare", "faults", "mappings",
};

static long references(void)
{
	return read_number(MODULE_FOLDER "/refcnt");
}

static void reload(void)
{
	reload_with("");
}

static void while_open(void *argument)
{
	int first, second;

	(void)argument;
	ASSERT_EQ(references(), 0);
	first = device(O_RDWR);
	ASSERT_EQ(references(), 1);
	second = device(O_RDONLY);
	ASSERT_EQ(references(), 2);
	ASSERT_ERRNO(unload(), EWOULDBLOCK);
	close(first);
	ASSERT_ERRNO(unload(), EWOULDBLOCK);
	close(second);
	ASSERT_EQ(references(), 0);
	reload();
}

/* The module cannot be unloaded while the device is open. */
static void open_holds(void)
{
	with_module_restored(while_open);
}

static void while_mapped(void *argument)
{
	char *mapping;
	int fd = device(O_RDWR);

	(void)argument;
	mapping = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_OK(mapping);
	fill_page(mapping, 1);
	ASSERT_ERRNO(unload(), EWOULDBLOCK);
	close(fd);
	ASSERT_EQ(references(), 1);
	ASSERT_ERRNO(unload(), EWOULDBLOCK);
	/* A part of the mapping holds it as the whole does. */
	ASSERT_OK(munmap(mapping + PAGE, 3 * PAGE));
	ASSERT_ERRNO(unload(), EWOULDBLOCK);
	ASSERT(page_holds(mapping, 1));
	ASSERT_OK(munmap(mapping, PAGE));
	ASSERT_EQ(references(), 0);
	reload();
}

/* Nor while a mapping of it is left, be the descriptor closed; after the last munmap it can. */
static void mapping_holds(void)
{
	with_module_restored(while_mapped);
}

static int release[2];

static void wait_for_release(void *argument)
{
	char byte;

	close(release[1]);
	if (read(release[0], &byte, 1) != 0)
		FAIL("pipe: %s", strerror(errno));
	ASSERT(page_holds(argument, 2));
}

static void while_inherited(void *argument)
{
	char *mapping = map_pages(2, PROT_READ | PROT_WRITE);
	pid_t child;

	(void)argument;
	fill_page(mapping, 2);
	ASSERT_OK(pipe(release));
	child = start_child(wait_for_release, mapping);
	ASSERT_OK(munmap(mapping, 2 * PAGE));
	ASSERT_EQ(references(), 1);
	ASSERT_ERRNO(unload(), EWOULDBLOCK);
	close(release[1]);
	expect_exit(child);
	ASSERT_EQ(references(), 0);
	reload();
}

/* Nor while a forked child alone still has the mapping; once the child has exited it can. */
static void child_holds(void)
{
	with_module_restored(while_inherited);
}

#define PLACEMENTS "it takes one of even, alternate, scattered, any"

static void refuse_parameters(void *argument)
{
	static const struct {
		const char *parameters, *line;
	} bad[] = {
		{ "demand_paging=2", NULL },
		{ "demand_paging=x", NULL },
		{ "demand_paging=", NULL },
		{ "log=maybe", "log=maybe: it takes one of none, faults, events" },
		{ "placement=4", "placement=4: " PLACEMENTS },
		{ "colours=12", "colours=12: it takes a power of two from 1 to 64" },
		{ "colours=128", "colours=128: it takes a power of two from 1 to 64" },
	};
	size_t i;

	(void)argument;
	ASSERT_OK(unload());
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		char line[256], wanted[256];
		int log = log_follow();
		bool told = !bad[i].line;

		errno = 0;
		if (load(bad[i].parameters) != -1 || errno != EINVAL)
			FAIL("loading with %s: %s, expected EINVAL", bad[i].parameters,
			     strerror(errno));
		ASSERT(!loaded());
		ASSERT_ERRNO(access(PAGING_DEVICE_PATH, F_OK), ENOENT);
		if (bad[i].line)
			snprintf(wanted, sizeof(wanted), MODULE_NAME ": %s", bad[i].line);
		while (!told && log_next(log, line, sizeof(line)))
			told = !strcmp(line, wanted);
		if (!told)
			FAIL("the log has no line \"%s\"", wanted);
		close(log);
	}
	reload();
}

/* A value that a parameter cannot have is refused (EINVAL) and nothing is loaded. */
static void bad_parameters(void)
{
	with_module_restored(refuse_parameters);
}

static void take_parameters(void *argument)
{
	static const struct {
		const char *parameters, *all;
	} good[] = {
		{ "", "demand_paging=Y log=none zero=Y placement=any colours=8 seed=0" },
		{ "demand_paging=0 log=2 zero=0 placement=even colours=64",
		  "demand_paging=N log=events zero=N placement=even colours=64 seed=0" },
		{ "demand_paging log=faults placement=2 colours=1 seed=7",
		  "demand_paging=Y log=faults zero=Y placement=scattered colours=1 seed=7" },
	};
	size_t i;

	(void)argument;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		char *mapping, all[256];

		ASSERT_OK(unload());
		ASSERT_OK(load(good[i].parameters));
		parameters_now(all, sizeof(all));
		if (strcmp(all, good[i].all))
			FAIL("loaded with \"%s\", the module has \"%s\"", good[i].parameters,
			     all);
		mapping = map_pages(3, PROT_READ);
		ASSERT_EQ(counter("pages_live"), by_mode(0, 3));
		ASSERT_OK(munmap(mapping, 3 * PAGE));
	}
	reload();
}

/*
 * The defaults are demand paging, no lines in the log, zeroed pages in any place; words can be
 * given by their numbers.
 */
static void parameters(void)
{
	with_module_restored(take_parameters);
}

/* How pages are allocated is settled when the module is loaded: those parameters are read-only. */
static void read_only_parameters(void)
{
	static const struct {
		const char *name, *other;
	} fixed[] = {
		{ "demand_paging", "0" }, { "demand_paging", "1" }, { "zero", "0" },
		{ "placement", "even" }, { "colours", "4" }, { "seed", "1" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fixed); i++) {
		char path[128], before[64];
		struct stat status;

		snprintf(path, sizeof(path), MODULE_FOLDER "/parameters/%s", fixed[i].name);
		snprintf(before, sizeof(before), "%s", parameter(fixed[i].name));
		ASSERT_OK(stat(path, &status));
		ASSERT_EQ(status.st_mode & 07777, 0444);
		/* sysfs heeds the mode for root as well. */
		ASSERT_ERRNO(write_text(path, fixed[i].other), EACCES);
		ASSERT(!strcmp(parameter(fixed[i].name), before));
	}
}

/* Whether lines are logged can be changed at run time, and takes effect at once. */
static void log_writable(void)
{
	const char *path = MODULE_FOLDER "/parameters/log";
	char before[64];
	struct stat status;

	snprintf(before, sizeof(before), "%s", parameter("log"));
	ASSERT_OK(stat(path, &status));
	ASSERT_EQ(status.st_mode & 07777, 0644);
	ASSERT_OK(write_text(path, "faults"));
	ASSERT(!strcmp(parameter("log"), "faults"));
	ASSERT_ERRNO(write_text(path, "maybe"), EINVAL);
	ASSERT_ERRNO(write_text(path, "3"), EINVAL);
	ASSERT_ERRNO(write_text(path, "-1"), EINVAL);
	ASSERT(!strcmp(parameter("log"), "faults"));
	ASSERT_OK(write_text(path, "events\n"));
	ASSERT(!strcmp(parameter("log"), "events"));
	ASSERT_OK(write_text(path, "0\n"));
	ASSERT(!strcmp(parameter("log"), "none"));
	ASSERT_OK(write_text(path, before));
}

static void map_unzeroed(void *argument)
{
	const size_t pages = 16;
	char *mapping;

	(void)argument;
	reload_with("zero=0");
	mapping = map_pages(pages, PROT_READ | PROT_WRITE);
	fill_pages(mapping, 1, pages);
	ASSERT(pages_hold(mapping, 1, pages));
	ASSERT_OK(munmap(mapping, pages * PAGE));
	/* They are what the allocator gives next, as they were or with a debug kernel's mark. */
	mapping = map_pages(pages, PROT_READ | PROT_WRITE);
	ASSERT(!pages_are_zero(mapping, pages));
	ASSERT_OK(munmap(mapping, pages * PAGE));
	reload_with("zero=1");
	mapping = map_pages(pages, PROT_READ | PROT_WRITE);
	ASSERT(pages_are_zero(mapping, pages));
	ASSERT_OK(munmap(mapping, pages * PAGE));
}

/* With zero=0 pages come as others have left them. */
static void not_zeroed(void)
{
	with_module_restored(map_unzeroed);
}

static void expect_fresh(void)
{
	struct stat status;
	size_t i;

	ASSERT_OK(stat(PAGING_DEVICE_PATH, &status));
	ASSERT_EQ(status.st_mode, S_IFCHR | 0666);
	for (i = 0; i < ARRAY_SIZE(counters); i++) {
		if (counter(counters[i]) != 0)
			FAIL("%s of a new module is %ld", counters[i], counter(counters[i]));
	}
}

static void go_and_come(void *argument)
{
	char *mapping;

	(void)argument;
	mapping = map_pages(4, PROT_READ | PROT_WRITE);
	fill_page(mapping, 3);
	ASSERT_OK(munmap(mapping, 4 * PAGE));
	ASSERT(counter("pages_allocated") > 0);

	ASSERT_OK(unload());
	ASSERT_ERRNO(access(PAGING_DEVICE_PATH, F_OK), ENOENT);
	ASSERT_ERRNO(access(DEVICE_FOLDER, F_OK), ENOENT);
	ASSERT_ERRNO(access(MODULE_FOLDER, F_OK), ENOENT);
	ASSERT_ERRNO(unload(), ENOENT);

	reload();
	expect_fresh();
}

/* Unloading removes the device and its counters; loading makes them anew, counting from 0. */
static void unload_and_load(void)
{
	with_module_restored(go_and_come);
}

/* A loaded module cannot be loaded a second time (EEXIST), and does not notice. */
static void load_twice(void)
{
	long allocated = counter("pages_allocated");
	char *mapping = map_pages(1, PROT_READ | PROT_WRITE);

	fill_page(mapping, 4);
	ASSERT_ERRNO(load(""), EEXIST);
	ASSERT_ERRNO(load("demand_paging=0"), EEXIST);
	ASSERT(page_holds(mapping, 4));
	ASSERT_EQ(counter("pages_allocated"), allocated + 1);
	ASSERT_OK(munmap(mapping, PAGE));
}

/* The next line of the log that the module wrote. */
static void expect_line(int log, const char *wanted)
{
	char line[256];

	do {
		if (!log_next(log, line, sizeof(line)))
			FAIL("the log has no line \"%s\"", wanted);
	} while (!strstr(line, "_page_counter:") && !strstr(line, "kmod_paging module"));
	if (strcmp(line, wanted))
		FAIL("the log has \"%s\", expected \"%s\"", line, wanted);
}

static void log_balance(void *argument)
{
	unsigned int i;
	char *mapping;
	int log;

	(void)argument;
	reload();
	log = log_follow();
	mapping = map_pages(5, PROT_READ | PROT_WRITE);
	for (i = 0; i < 5; i++)
		fill_page(mapping + i * PAGE, i);
	ASSERT_OK(munmap(mapping, 5 * PAGE));
	reload();
	expect_line(log, "allocate_page_counter:5 free_page_counter:5");
	expect_line(log, "Unloaded kmod_paging module");
	expect_line(log, "Loaded kmod_paging module");
	reload();
	expect_line(log, "allocate_page_counter:0 free_page_counter:0");
	expect_line(log, "Unloaded kmod_paging module");
	expect_line(log, "Loaded kmod_paging module");
	close(log);
}

/* The kernel log tells of loading and unloading, and the pages allocated and freed in between. */
static void log_lines(void)
{
	with_module_restored(log_balance);
}

static void unload_traced(void *argument)
{
	char text[1024];
	char *mapping;

	(void)argument;
	trace_start();
	mapping = map_pages(1, PROT_READ | PROT_WRITE);
	fill_page(mapping, 5);
	ASSERT_OK(munmap(mapping, PAGE));
	ASSERT_OK(unload());
	ASSERT_ERRNO(access("/sys/kernel/tracing/events/paging", F_OK), ENOENT);
	reload();
	trace_read(text, sizeof(text));
	trace_start();
	mapping = map_pages(1, PROT_READ | PROT_WRITE);
	ASSERT_OK(munmap(mapping, PAGE));
	trace_read(text, sizeof(text));
	trace_stop();
	ASSERT(strstr(text, "mmap: "));
	ASSERT(strstr(text, "close: "));
}

/* The module can be unloaded while its trace events are recorded, and be traced again. */
static void unload_while_traced(void)
{
	with_module_restored(unload_traced);
}

static void reload_often(void *argument)
{
	unsigned int i;

	(void)argument;
	for (i = 0; i < 3; i++) {
		char *mapping = map_pages(2, PROT_READ | PROT_WRITE);

		fill_page(mapping, i);
		ASSERT_ERRNO(unload(), EWOULDBLOCK);
		ASSERT(page_holds(mapping, i));
		ASSERT_OK(munmap(mapping, 2 * PAGE));
		reload();
	}
}

/* The module can be loaded, used and unloaded again and again. */
static void repeated(void)
{
	with_module_restored(reload_often);
}

static const struct ktap_case cases[] = {
	{ .name = "open_holds", .run = open_holds },
	{ .name = "mapping_holds", .run = mapping_holds },
	{ .name = "child_holds", .run = child_holds },
	{ .name = "bad_parameters", .run = bad_parameters },
	{ .name = "parameters", .run = parameters },
	{ .name = "read_only_parameters", .run = read_only_parameters },
	{ .name = "log_writable", .run = log_writable },
	{ .name = "not_zeroed", .run = not_zeroed },
	{ .name = "unload_and_load", .run = unload_and_load },
	{ .name = "load_twice", .run = load_twice },
	{ .name = "log_lines", .run = log_lines },
	{ .name = "unload_while_traced", .run = unload_while_traced },
	{ .name = "repeated", .run = repeated },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

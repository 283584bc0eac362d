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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "lib/device.h"

#define MODULE_FOLDER "/sys/module/" MODULE_NAME
#define DEVICE_FOLDER "/sys/class/misc/" PAGING_DEVICE_NAME

static const char * const counters[] = {
	"pages_allocated", "pages_freed", "pages_live", "faults", "mappings",
};

#define PARAMETERS "demand_paging=%c log_faults=%c"

static char parameters_found[64];

static bool loaded(void)
{
	return access(MODULE_FOLDER, F_OK) == 0;
}

static int load(const char *parameters)
{
	int fd = open(MODULE_PATH, O_RDONLY | O_CLOEXEC);
	int result, error;

	if (fd < 0)
		FAIL(MODULE_PATH ": %s", strerror(errno));
	result = syscall(SYS_finit_module, fd, parameters, 0);
	error = errno;
	close(fd);
	errno = error;
	return result;
}

static int unload(void)
{
	return syscall(SYS_delete_module, MODULE_NAME, O_NONBLOCK);
}

/* The value of a parameter of the loaded module, 'Y' or 'N'. */
static char parameter(const char *name)
{
	char path[128], value = 0;
	int fd;

	snprintf(path, sizeof(path), MODULE_FOLDER "/parameters/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, &value, 1) != 1)
		FAIL("%s: %s", path, strerror(errno));
	close(fd);
	return value;
}

static long references(void)
{
	return read_number(MODULE_FOLDER "/refcnt");
}

static void reload(void)
{
	ASSERT_OK(unload());
	ASSERT_OK(load(parameters_found));
}

static bool loaded_as_found(void)
{
	char now[sizeof(parameters_found)];

	if (!loaded())
		return false;
	snprintf(now, sizeof(now), PARAMETERS, parameter("demand_paging"),
		 parameter("log_faults"));
	return !strcmp(now, parameters_found);
}

/* Runs the body in a child, so that the module is loaded as it was found however that ends. */
static void with_module_restored(void (*body)(void *argument))
{
	int status;
	pid_t child;

	snprintf(parameters_found, sizeof(parameters_found), PARAMETERS,
		 parameter("demand_paging"), parameter("log_faults"));
	child = start_child(body, NULL);
	if (waitpid(child, &status, 0) != child)
		FAIL("waitpid: %s", strerror(errno));
	if (!loaded_as_found()) {
		unload();
		load(parameters_found);
	}
	if (!WIFEXITED(status))
		FAIL("a child was killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
	if (!loaded_as_found())
		FAIL("the module cannot be loaded again");
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

static void refuse_parameters(void *argument)
{
	static const char * const bad[] = {
		"demand_paging=2", "demand_paging=x", "demand_paging=", "log_faults=maybe",
	};
	size_t i;

	(void)argument;
	ASSERT_OK(unload());
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		errno = 0;
		if (load(bad[i]) != -1 || errno != EINVAL)
			FAIL("loading with %s: %s, expected EINVAL", bad[i], strerror(errno));
		ASSERT(!loaded());
		ASSERT_ERRNO(access(PAGING_DEVICE_PATH, F_OK), ENOENT);
	}
	ASSERT_OK(load(parameters_found));
}

/* A parameter with a value that is not a boolean is refused (EINVAL), and nothing is loaded. */
static void bad_parameters(void)
{
	with_module_restored(refuse_parameters);
}

static void take_parameters(void *argument)
{
	static const struct {
		const char *parameters;
		char demand_paging, log_faults;
	} good[] = {
		{ "", 'Y', 'N' },
		{ "demand_paging=0", 'N', 'N' },
		{ "demand_paging log_faults=1", 'Y', 'Y' },
	};
	size_t i;

	(void)argument;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		char *mapping;

		ASSERT_OK(unload());
		ASSERT_OK(load(good[i].parameters));
		ASSERT_EQ(parameter("demand_paging"), good[i].demand_paging);
		ASSERT_EQ(parameter("log_faults"), good[i].log_faults);
		mapping = map_pages(3, PROT_READ);
		ASSERT_EQ(counter("pages_live"), good[i].demand_paging == 'Y' ? 0 : 3);
		ASSERT_OK(munmap(mapping, 3 * PAGE));
	}
	ASSERT_OK(unload());
	ASSERT_OK(load(parameters_found));
}

/* demand_paging is on unless turned off, log_faults off unless turned on. */
static void parameters(void)
{
	with_module_restored(take_parameters);
}

/* How pages are allocated is settled when the module is loaded: demand_paging is read-only. */
static void demand_paging_read_only(void)
{
	const char *path = MODULE_FOLDER "/parameters/demand_paging";
	char before = parameter("demand_paging");
	struct stat status;

	ASSERT_OK(stat(path, &status));
	ASSERT_EQ(status.st_mode & 07777, 0444);
	/* sysfs heeds the mode for root as well. */
	ASSERT_ERRNO(write_text(path, before == 'Y' ? "0" : "1"), EACCES);
	ASSERT_EQ(parameter("demand_paging"), before);
}

/* Whether faults are logged can be changed at run time, and takes effect at once. */
static void log_faults_writable(void)
{
	const char *path = MODULE_FOLDER "/parameters/log_faults";
	char before = parameter("log_faults");
	struct stat status;

	ASSERT_OK(stat(path, &status));
	ASSERT_EQ(status.st_mode & 07777, 0644);
	ASSERT_OK(write_text(path, "1"));
	ASSERT_EQ(parameter("log_faults"), 'Y');
	ASSERT_ERRNO(write_text(path, "maybe"), EINVAL);
	ASSERT_ERRNO(write_text(path, "2"), EINVAL);
	ASSERT_EQ(parameter("log_faults"), 'Y');
	ASSERT_OK(write_text(path, "0"));
	ASSERT_EQ(parameter("log_faults"), 'N');
	ASSERT_OK(write_text(path, before == 'Y' ? "1" : "0"));
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

	ASSERT_OK(load(parameters_found));
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
	ASSERT_OK(load(parameters_found));
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
	{ .name = "demand_paging_read_only", .run = demand_paging_read_only },
	{ .name = "log_faults_writable", .run = log_faults_writable },
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

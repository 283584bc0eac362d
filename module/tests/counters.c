// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the module tells: counters in sysfs, trace events, and lines in the kernel log.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"

#define NR_LOGGED 300

static const char * const names[] = {
	"pages_allocated", "pages_freed", "pages_live", "faults", "mappings",
};

static long before[ARRAY_SIZE(names)];

static void remember(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		before[i] = counter(names[i]);
}

/* All counters since remember(): what demand paging and what pre-paging must have counted. */
static void expect(int line, const long demand[ARRAY_SIZE(names)],
		   const long pre[ARRAY_SIZE(names)])
{
	const long *wanted = demand_paging() ? demand : pre;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		long actual = counter(names[i]) - before[i];

		if (actual != wanted[i])
			fail(__FILE__, line, "%s grew by %ld, expected %ld", names[i], actual,
			     wanted[i]);
	}
}

/* In the order of names[]: allocated, freed, live, faults, mappings. */
#define COUNTS(...) ((const long[ARRAY_SIZE(names)]) { __VA_ARGS__ })
#define EXPECT(demand, pre) expect(__LINE__, demand, pre)

static void write_fifth(void *argument)
{
	char *mapping = argument;
	unsigned int i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(mapping[i * PAGE], i + 1);
	mapping[4 * PAGE] = 5;
}

/*
 * The counters tell exactly what happens: a page is allocated once, at its first touch or in
 * mmap(), and freed with the last part of the mapping; a fault is counted once per page and
 * address space; a mapping lives until its last part goes.
 */
static void exact(void)
{
	char *mapping, *second;

	remember();
	mapping = map_pages(8, PROT_READ | PROT_WRITE);
	EXPECT(COUNTS(0, 0, 0, 0, 1), COUNTS(8, 0, 8, 0, 1));
	mapping[0] = 1;
	mapping[PAGE] = 2;
	mapping[2 * PAGE] = 3;
	EXPECT(COUNTS(3, 0, 3, 3, 1), COUNTS(8, 0, 8, 0, 1));
	/* Touched before; then a first touch by reading, and a write to that page. */
	mapping[0] = mapping[0];
	ASSERT_EQ(mapping[3 * PAGE], 0);
	mapping[3 * PAGE] = 4;
	EXPECT(COUNTS(4, 0, 4, 4, 1), COUNTS(8, 0, 8, 0, 1));
	/* A child finds the touched pages mapped; a page it touches first is the parent's too. */
	in_child(write_fifth, mapping);
	EXPECT(COUNTS(5, 0, 5, 5, 1), COUNTS(8, 0, 8, 0, 1));
	ASSERT_EQ(mapping[4 * PAGE], 5);
	EXPECT(COUNTS(5, 0, 5, 6, 1), COUNTS(8, 0, 8, 0, 1));
	/* A part that goes keeps its pages. */
	ASSERT_OK(munmap(mapping + 2 * PAGE, 2 * PAGE));
	EXPECT(COUNTS(5, 0, 5, 6, 1), COUNTS(8, 0, 8, 0, 1));
	second = map_pages(1, PROT_READ);
	ASSERT_EQ(second[0], 0);
	EXPECT(COUNTS(6, 0, 6, 7, 2), COUNTS(9, 0, 9, 0, 2));
	ASSERT_OK(munmap(mapping, 2 * PAGE));
	EXPECT(COUNTS(6, 0, 6, 7, 2), COUNTS(9, 0, 9, 0, 2));
	ASSERT_OK(munmap(mapping + 4 * PAGE, 4 * PAGE));
	EXPECT(COUNTS(6, 5, 1, 7, 1), COUNTS(9, 8, 1, 0, 1));
	ASSERT_OK(munmap(second, PAGE));
	EXPECT(COUNTS(6, 6, 0, 7, 0), COUNTS(9, 9, 0, 0, 0));
}

/* A mapping that was never touched allocates nothing on demand, and all in advance. */
static void untouched(void)
{
	char *mapping;

	remember();
	mapping = map_pages(16, PROT_NONE);
	EXPECT(COUNTS(0, 0, 0, 0, 1), COUNTS(16, 0, 16, 0, 1));
	ASSERT_OK(munmap(mapping, 16 * PAGE));
	EXPECT(COUNTS(0, 0, 0, 0, 0), COUNTS(16, 16, 0, 0, 0));
}

/* An mmap() that is refused counts nothing. */
static void refused_mmap(void)
{
	int fd = device(O_RDWR), reader = device(O_RDONLY);

	remember();
	ASSERT_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), EINVAL);
	ASSERT_ERRNO(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0), EPERM);
	ASSERT_ERRNO(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0), EACCES);
	ASSERT_ERRNO(mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0), EINVAL);
	EXPECT(COUNTS(0, 0, 0, 0, 0), COUNTS(0, 0, 0, 0, 0));
	close(fd);
	close(reader);
}

/* The counters are decimal numbers that can be read by all and written by no one. */
static void read_only(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		char path[128], text[64] = "", wanted[64];
		struct stat status;
		int fd;

		snprintf(path, sizeof(path), "/sys/class/misc/" PAGING_DEVICE_NAME "/%s",
			 names[i]);
		ASSERT_OK(stat(path, &status));
		ASSERT_EQ(status.st_mode & 07777, 0444);
		/* sysfs heeds the mode for root as well. */
		ASSERT_ERRNO(write_text(path, "0"), EACCES);

		fd = open(path, O_RDONLY | O_CLOEXEC);
		ASSERT_OK(fd);
		ASSERT_OK(read(fd, text, sizeof(text) - 1));
		close(fd);
		snprintf(wanted, sizeof(wanted), "%ld\n", counter(names[i]));
		if (strcmp(text, wanted))
			FAIL("%s is \"%s\", expected \"%s\"", names[i], text, wanted);
	}
}

/* Text that grows. */
struct text {
	char text[4096];
	size_t used;
};

[[gnu::format(printf, 2, 3)]]
static void add(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text->used += vsnprintf(text->text + text->used, sizeof(text->text) - text->used, format,
				arguments);
	va_end(arguments);
	if (text->used >= sizeof(text->text))
		FAIL("the text is too long");
}

/* Addresses as the kernel has them. */
#define AT(address) ((unsigned long)(address))

static void add_mmap(struct text *wanted, const char *start, size_t pages, unsigned long pgoff)
{
	add(wanted, "mmap: start=0x%lx end=0x%lx pgoff=%lu demand_paging=%d error=0\n",
	    AT(start), AT(start + pages * PAGE), pgoff, demand_paging());
}

static void add_fault(struct text *wanted, const char *mapping, unsigned long index)
{
	if (demand_paging())
		add(wanted, "fault: address=0x%lx index=%lu result=NOPAGE\n",
		    AT(mapping + index * PAGE), index);
}

static void add_close(struct text *wanted, const char *start, size_t pages, unsigned int refs)
{
	add(wanted, "close: start=0x%lx end=0x%lx refs=%u\n", AT(start), AT(start + pages * PAGE),
	    refs);
}

static void expect_trace(int line, const struct text *wanted)
{
	char actual[sizeof(wanted->text)];

	trace_read(actual, sizeof(actual));
	if (strcmp(actual, wanted->text))
		fail(__FILE__, line, "recorded were\n%sexpected were\n%s", actual, wanted->text);
}

#define EXPECT_TRACE(wanted) expect_trace(__LINE__, wanted)

/* Trace event mmap tells the range, offset and mode of a new mapping. */
static void trace_mmap(void)
{
	struct text wanted = {};
	char *mapping;
	int fd = device(O_RDWR);

	trace_start();
	mapping = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, fd, 7 * PAGE);
	ASSERT_OK(mapping);
	add_mmap(&wanted, mapping, 3, 7);
	EXPECT_TRACE(&wanted);
	ASSERT_OK(munmap(mapping, 3 * PAGE));
	add_close(&wanted, mapping, 3, 0);
	EXPECT_TRACE(&wanted);
	trace_stop();
	close(fd);
}

/* Trace event mmap of a refused mapping tells the error. */
static void trace_refused(void)
{
	char *start = (char *)0x60000000;
	struct text wanted = {};
	int fd = device(O_RDWR);

	trace_start();
	ASSERT_ERRNO(mmap(start, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0),
		     EINVAL);
	add(&wanted, "mmap: start=0x60000000 end=0x60002000 pgoff=0 demand_paging=%d error=-22\n",
	    demand_paging());
	ASSERT_ERRNO(mmap(start, PAGE, PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, PAGE),
		     EPERM);
	add(&wanted, "mmap: start=0x60000000 end=0x60001000 pgoff=1 demand_paging=%d error=-1\n",
	    demand_paging());
	EXPECT_TRACE(&wanted);
	trace_stop();
	close(fd);
}

/* Trace event fault tells address, index and result of each fault, and of nothing else. */
static void trace_fault(void)
{
	static const unsigned int order[] = { 5, 0, 7, 2 };
	struct text wanted = {};
	char *mapping;
	unsigned int i;
	int fd = device(O_RDWR);

	trace_start();
	mapping = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 100 * PAGE);
	ASSERT_OK(mapping);
	add_mmap(&wanted, mapping, 8, 100);
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		/* Not the page's first byte: the event has the address of the page. */
		mapping[order[i] * PAGE + 5 * i] = 1;
		add_fault(&wanted, mapping, order[i]);
		mapping[order[i] * PAGE] = 1;
	}
	EXPECT_TRACE(&wanted);
	ASSERT_OK(munmap(mapping, 8 * PAGE));
	add_close(&wanted, mapping, 8, 0);
	EXPECT_TRACE(&wanted);
	trace_stop();
	close(fd);
}

static void touch_first(void *argument)
{
	*(char *)argument = 1;
}

/* Trace event close tells the range of each part that goes, and how many others are left. */
static void trace_close(void)
{
	struct text wanted = {};
	char *mapping, *moved;

	trace_start();
	mapping = map_pages(6, PROT_READ | PROT_WRITE);
	add_mmap(&wanted, mapping, 6, 0);
	/* A child's copy. */
	in_child(touch_first, mapping);
	add_fault(&wanted, mapping, 0);
	add_close(&wanted, mapping, 6, 1);
	EXPECT_TRACE(&wanted);
	/* The middle: a part before it and one behind it stay. */
	ASSERT_OK(munmap(mapping + 2 * PAGE, PAGE));
	add_close(&wanted, mapping + 2 * PAGE, 1, 2);
	EXPECT_TRACE(&wanted);
	/* A move closes the part at its old place; its pages keep their numbers. */
	moved = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_OK(moved);
	ASSERT(mremap(mapping + 3 * PAGE, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      moved) == moved);
	add_close(&wanted, mapping + 3 * PAGE, 3, 2);
	EXPECT_TRACE(&wanted);
	moved[PAGE] = 1;
	if (demand_paging())
		add(&wanted, "fault: address=0x%lx index=4 result=NOPAGE\n", AT(moved + PAGE));
	EXPECT_TRACE(&wanted);
	ASSERT_OK(munmap(mapping, 2 * PAGE));
	add_close(&wanted, mapping, 2, 1);
	ASSERT_OK(munmap(moved, 3 * PAGE));
	add_close(&wanted, moved, 3, 0);
	EXPECT_TRACE(&wanted);
	trace_stop();
}

/* Nothing is recorded while the trace events are off. */
static void trace_off(void)
{
	struct text wanted = {};
	char *mapping;

	trace_start();
	trace_stop();
	mapping = map_pages(2, PROT_READ | PROT_WRITE);
	mapping[0] = 1;
	ASSERT_OK(munmap(mapping, 2 * PAGE));
	EXPECT_TRACE(&wanted);
}

static void set_log(const char *value)
{
	ASSERT_OK(write_text("/sys/module/" MODULE_NAME "/parameters/log", value));
}

/* The next line of the module in the kernel log; "" if there is none. */
static void next_line(int log, char *line, size_t size)
{
	while (log_next(log, line, size)) {
		if (!strncmp(line, "paging_", 7))
			return;
	}
	line[0] = '\0';
}

[[gnu::format(printf, 3, 4)]]
static void expect_line(int line, int log, const char *format, ...)
{
	char actual[256], wanted[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(wanted, sizeof(wanted), format, arguments);
	va_end(arguments);
	next_line(log, actual, sizeof(actual));
	if (strcmp(actual, wanted))
		fail(__FILE__, line, "the log has \"%s\", expected \"%s\"", actual, wanted);
}

#define EXPECT_LINE(...) expect_line(__LINE__, __VA_ARGS__)

#define LINE_MMAP "paging_mmap() invoked: new VMA for pid %d from VA 0x%lx to 0x%lx"
#define LINE_CLOSE "paging_vma_close() invoked"
#define LINE_FAULT "paging_vma_fault() invoked: took a page fault at VA 0x%lx"

/* Touches pages from the last to the first. */
static void touch_all(char *mapping, unsigned int pages)
{
	while (pages-- > 0)
		mapping[pages * PAGE] = 1;
}

/*
 * With log=events the kernel log has a line for each mmap(), refused ones as well, and for each
 * part that goes; none for a fault.
 */
static void log_events(void)
{
	char *mapping, *start = (char *)0x60000000;
	int log = log_follow(), fd = device(O_RDWR);

	set_log("events");
	mapping = map_pages(3, PROT_READ | PROT_WRITE);
	EXPECT_LINE(log, LINE_MMAP, getpid(), AT(mapping), AT(mapping + 3 * PAGE));
	touch_all(mapping, 3);
	ASSERT_OK(munmap(mapping + PAGE, PAGE));
	EXPECT_LINE(log, LINE_CLOSE);
	ASSERT_OK(munmap(mapping, 3 * PAGE));
	EXPECT_LINE(log, LINE_CLOSE);
	EXPECT_LINE(log, LINE_CLOSE);
	ASSERT_ERRNO(mmap(start, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0),
		     EINVAL);
	EXPECT_LINE(log, LINE_MMAP, getpid(), AT(start), AT(start + PAGE));
	EXPECT_LINE(log, "%s", "");
	set_log("none");
	close(fd);
	close(log);
}

/* With log=faults the kernel log has those lines and one for every single fault. */
static void log_every_fault(void)
{
	char *mapping;
	unsigned int i;
	int log = log_follow();

	set_log("faults");
	mapping = map_pages(NR_LOGGED, PROT_READ | PROT_WRITE);
	touch_all(mapping, NR_LOGGED);
	/* No second line for a second touch. */
	touch_all(mapping, NR_LOGGED);
	ASSERT_OK(munmap(mapping, NR_LOGGED * PAGE));
	set_log("none");

	EXPECT_LINE(log, LINE_MMAP, getpid(), AT(mapping), AT(mapping + NR_LOGGED * PAGE));
	if (demand_paging()) {
		for (i = NR_LOGGED; i-- > 0;)
			EXPECT_LINE(log, LINE_FAULT, AT(mapping + i * PAGE));
	}
	EXPECT_LINE(log, LINE_CLOSE);
	EXPECT_LINE(log, "%s", "");
	close(log);
}

/* With log=none the kernel log has no line for whatever is done to a mapping. */
static void log_none(void)
{
	char *mapping;
	int log = log_follow(), fd = device(O_RDWR);

	set_log("none");
	mapping = map_pages(8, PROT_READ | PROT_WRITE);
	touch_all(mapping, 8);
	ASSERT_OK(munmap(mapping, 8 * PAGE));
	ASSERT_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), EINVAL);
	EXPECT_LINE(log, "%s", "");
	close(fd);
	close(log);
}

static const struct ktap_case cases[] = {
	{ .name = "exact", .run = exact },
	{ .name = "untouched", .run = untouched },
	{ .name = "refused_mmap", .run = refused_mmap },
	{ .name = "read_only", .run = read_only },
	{ .name = "trace_mmap", .run = trace_mmap },
	{ .name = "trace_refused", .run = trace_refused },
	{ .name = "trace_fault", .run = trace_fault },
	{ .name = "trace_close", .run = trace_close },
	{ .name = "trace_off", .run = trace_off },
	{ .name = "log_events", .run = log_events },
	{ .name = "log_every_fault", .run = log_every_fault },
	{ .name = "log_none", .run = log_none },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

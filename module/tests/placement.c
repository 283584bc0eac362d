// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which physical pages a mapping gets, as the trace event of their allocation tells, and what
 * becomes of the pages that did not fit.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"
#include "paging/reload.h"

#define NR_PAGES 64

/* Loading the module takes its time on an emulated machine with a debug kernel. */
#define LONG_TIMEOUT_S 300

/* Free memory changes by as much as this without any doing of a case. */
#define NOISE_KB 8192

/* Touches the pages of a mapping from the last to the first. */
static void touch_all(char *mapping, size_t pages)
{
	while (pages-- > 0)
		mapping[pages * PAGE] = 1;
}

/* A new mapping all of whose pages are there; the frame of each. */
static char *map_traced(unsigned long frames[NR_PAGES])
{
	static char text[64 * NR_PAGES];
	bool seen[NR_PAGES] = {};
	unsigned long index, frame;
	char *mapping, *line, *rest;
	size_t count = 0;

	trace_pages_start();
	mapping = map_pages(NR_PAGES, PROT_READ | PROT_WRITE);
	touch_all(mapping, NR_PAGES);
	trace_read(text, sizeof(text));
	trace_stop();
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (sscanf(line, "allocate: index=%lu pfn=0x%lx", &index, &frame) != 2)
			FAIL("unexpected: %s", line);
		ASSERT(index < NR_PAGES && !seen[index]);
		seen[index] = true;
		frames[index] = frame;
		count++;
	}
	ASSERT_EQ(count, NR_PAGES);
	return mapping;
}

static void expect_colours(const char *parameters, unsigned int colours, unsigned int stride)
{
	unsigned long frames[NR_PAGES];
	char *mapping;
	size_t i;

	reload_with(parameters);
	mapping = map_traced(frames);
	for (i = 0; i < NR_PAGES; i++) {
		if (frames[i] % colours != i * stride % colours)
			FAIL("%s: page %zu is frame 0x%lx", parameters, i, frames[i]);
	}
	ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
}

static void place_even(void *argument)
{
	(void)argument;
	expect_colours("placement=even colours=8", 8, 1);
}

/* With placement=even page i has colour i modulo colours, in whatever order it is touched. */
static void even(void)
{
	with_module_restored(place_even);
}

static void place_alternate(void *argument)
{
	(void)argument;
	expect_colours("placement=alternate colours=64", 64, 2);
}

/* With placement=alternate they have every second colour. */
static void alternate(void)
{
	with_module_restored(place_alternate);
}

/* The colours of two mappings after loading the module. */
static void scatter(const char *parameters, unsigned char first[NR_PAGES],
		    unsigned char second[NR_PAGES])
{
	unsigned long frames[NR_PAGES];
	char *mapping;
	size_t i;

	reload_with(parameters);
	mapping = map_traced(frames);
	for (i = 0; i < NR_PAGES; i++)
		first[i] = frames[i] % 8;
	ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
	mapping = map_traced(frames);
	for (i = 0; i < NR_PAGES; i++)
		second[i] = frames[i] % 8;
	ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
}

static void place_scattered(void *argument)
{
	unsigned char first[NR_PAGES], second[NR_PAGES], other[NR_PAGES], rest[NR_PAGES];
	unsigned int seen = 0;
	size_t i;

	(void)argument;
	scatter("placement=scattered colours=8 seed=1 demand_paging=1", first, second);
	for (i = 0; i < NR_PAGES; i++)
		seen |= 1U << first[i];
	ASSERT_EQ(seen, 0xff);
	ASSERT(memcmp(first, second, NR_PAGES));
	scatter("placement=scattered colours=8 seed=1 demand_paging=0", other, rest);
	ASSERT(!memcmp(first, other, NR_PAGES));
	ASSERT(!memcmp(second, rest, NR_PAGES));
	scatter("placement=scattered colours=8 seed=2", other, rest);
	ASSERT(memcmp(first, other, NR_PAGES));
}

/*
 * With placement=scattered they have all colours in an order that follows from the seed and from
 * which mapping since the module was loaded it is, and is the same in both modes.
 */
static void scattered(void)
{
	with_module_restored(place_scattered);
}

/* With placement=any no page is put aside. */
static void any(void)
{
	char *mapping;

	if (strcmp(parameter("placement"), "any"))
		skip("the module was loaded with a placement");
	mapping = map_pages(NR_PAGES, PROT_READ | PROT_WRITE);
	touch_all(mapping, NR_PAGES);
	ASSERT_EQ(counter("pages_spare"), 0);
	ASSERT_EQ(counter("pages_live"), NR_PAGES);
	ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
}

static void dirty_and_map(void *argument)
{
	char *mapping;
	size_t i;

	(void)argument;
	reload_with("placement=alternate");
	for (i = 0; i < 4; i++) {
		mapping = map_pages(NR_PAGES, PROT_READ | PROT_WRITE);
		ASSERT(pages_are_zero(mapping, NR_PAGES));
		fill_pages(mapping, 1, NR_PAGES);
		ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
	}
}

/* Pages come zeroed whatever their placement is. */
static void zeroed(void)
{
	with_module_restored(dirty_and_map);
}

/* Free memory in KiB. */
static long free_kb(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	long value = -1;

	if (!file)
		FAIL("/proc/meminfo: %s", strerror(errno));
	while (value < 0 && fgets(line, sizeof(line), file))
		sscanf(line, "MemFree: %ld", &value);
	fclose(file);
	ASSERT(value >= 0);
	return value;
}

static void keep_spares(void *argument)
{
	const size_t pages = 1024;
	char *first, *second;
	long before_kb;
	size_t i;

	(void)argument;
	reload_with("placement=alternate");
	first = map_pages(NR_PAGES, PROT_READ | PROT_WRITE);
	touch_all(first, NR_PAGES);
	ASSERT(counter("pages_spare") > 0);
	ASSERT_EQ(counter("pages_live"), NR_PAGES);
	ASSERT_EQ(counter("pages_allocated"), NR_PAGES);
	second = map_pages(1, PROT_READ | PROT_WRITE);
	ASSERT_OK(munmap(first, NR_PAGES * PAGE));
	ASSERT(counter("pages_spare") > 0);
	ASSERT_OK(munmap(second, PAGE));
	ASSERT_EQ(counter("pages_spare"), 0);
	ASSERT_EQ(counter("pages_live"), 0);

	before_kb = free_kb();
	/* As many spares as pages each time: 20 MiB if none came back. */
	for (i = 0; i < 5; i++) {
		first = map_pages(pages, PROT_READ | PROT_WRITE);
		touch_all(first, pages);
		ASSERT_OK(munmap(first, pages * PAGE));
	}
	if (before_kb - free_kb() > NOISE_KB)
		FAIL("%ld KiB of free memory are lost", before_kb - free_kb());
	ASSERT_OK(unload());
}

/*
 * Spares are in no other count, and go when the last mapping does: the system has them again, and
 * the module can be unloaded.
 */
static void spares_go(void)
{
	with_module_restored(keep_spares);
}

static void use_up_a_colour(void *argument)
{
	const size_t colours = 64;
	size_t pages = sysconf(_SC_PHYS_PAGES), i;
	long most = pages / 4, live;
	int raised = 0;
	char *mapping;

	(void)argument;
	reload_with("placement=even colours=64 demand_paging=1");
	mapping = map_pages(pages, PROT_READ | PROT_WRITE);
	/* Each page of one and the same colour takes some 63 others. */
	for (i = 0; !raised && i < pages; i += colours)
		raised = try_write(mapping + i * PAGE, 1);
	ASSERT_EQ(raised, SIGBUS);
	live = counter("pages_live");
	ASSERT(live > 0 && live < most);
	ASSERT(counter("pages_spare") > 0 && counter("pages_spare") <= most);
	/* A page of another colour is among the spares. */
	ASSERT_EQ(try_write(mapping + PAGE, 1), 0);
	ASSERT_EQ(counter("pages_live"), live + 1);
	ASSERT_OK(munmap(mapping, pages * PAGE));
	ASSERT_EQ(counter("pages_spare"), 0);
	mapping = map_pages(colours, PROT_READ | PROT_WRITE);
	touch_all(mapping, colours);
	ASSERT_OK(munmap(mapping, colours * PAGE));
}

/* Spares take a quarter of the memory at most: then a touch raises SIGBUS. */
static void bounded(void)
{
	with_module_restored(use_up_a_colour);
}

static const struct ktap_case cases[] = {
	{ .name = "any", .run = any },
	{ .name = "even", .run = even },
	{ .name = "alternate", .run = alternate },
	{ .name = "scattered", .run = scattered },
	{ .name = "zeroed", .run = zeroed },
	{ .name = "spares_go", .run = spares_go },
	{ .name = "bounded", .run = bounded, .timeout_s = LONG_TIMEOUT_S },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * touch_pages PAGES PERCENT ORDER - use a part of a mapping of /dev/paging
 *
 * Maps PAGES pages, writes a word to PERCENT of every hundred of them, each once, and prints in
 * microseconds how long mmap() took and how long the writing took. ORDER is
 *
 *   0  sequential: the first pages of the mapping, one after the other
 *   1  strided: pages at equal distances over the whole mapping, from its start to its end
 *   2  random: pages from all over the mapping, in an order that is the same in each run
 *
 * The mmap() call is marked as phase 0, the writing as phase 1.
 *
 * Exit status: 0, or 1 when the device or the memory cannot be had, or 2 for bad arguments.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../paging.h"
#include "phase.h"

#define MAX_PAGES 200000

enum order { SEQUENTIAL, STRIDED, RANDOM };

static long long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static long parse_number(const char *name, const char *text, long low, long high)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < low || value > high) {
		fprintf(stderr, "touch_pages: %s must be a number from %ld to %ld, not '%s'\n",
			name, low, high, text);
		exit(2);
	}
	return value;
}

/* The pages to be written to, by their numbers; made before anything is measured. */
static size_t *choose(size_t pages, size_t count, enum order order)
{
	size_t *chosen = malloc(pages * sizeof(*chosen));
	size_t i;

	if (!chosen) {
		fprintf(stderr, "touch_pages: %s\n", strerror(errno));
		exit(1);
	}
	for (i = 0; i < pages; i++)
		chosen[i] = i;
	for (i = 0; i < count; i++) {
		size_t other, page;

		switch (order) {
		case SEQUENTIAL:
			break;
		case STRIDED:
			chosen[i] = (unsigned long long)i * pages / count;
			break;
		case RANDOM:
			/* Fisher and Yates, as far as it is needed. */
			other = i + rand() % (pages - i);
			page = chosen[other];
			chosen[other] = chosen[i];
			chosen[i] = page;
			break;
		}
	}
	return chosen;
}

int main(int argc, char **argv)
{
	size_t pages, count, bytes, i, *chosen;
	long long start, mapped, finished;
	enum order order;
	char *mapping;
	long size;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: touch_pages PAGES PERCENT ORDER\n");
		return 2;
	}
	pages = parse_number("PAGES", argv[1], 1, MAX_PAGES);
	count = pages * parse_number("PERCENT", argv[2], 0, 100) / 100;
	order = parse_number("ORDER", argv[3], SEQUENTIAL, RANDOM);
	size = sysconf(_SC_PAGESIZE);
	bytes = pages * size;
	chosen = choose(pages, count, order);

	fd = open(PAGING_DEVICE_PATH, O_RDWR);
	if (fd < 0) {
		fprintf(stderr, "touch_pages: %s: %s (is kmod_paging loaded?)\n",
			PAGING_DEVICE_PATH, strerror(errno));
		return 1;
	}

	start = now_us();
	phase_begin(0);
	mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	phase_end(0);
	mapped = now_us();
	if (mapping == MAP_FAILED) {
		fprintf(stderr, "touch_pages: mmap of %zu bytes: %s\n", bytes, strerror(errno));
		return 1;
	}
	phase_begin(1);
	for (i = 0; i < count; i++)
		*(size_t *)(mapping + chosen[i] * size) = i;
	phase_end(1);
	finished = now_us();

	printf("Time consuming for mmap(microseconds):%lld\n", mapped - start);
	printf("Time consuming for touching %zu pages (microseconds):%lld\n", count,
	       finished - mapped);

	munmap(mapping, bytes);
	close(fd);
	free(chosen);
	return 0;
}

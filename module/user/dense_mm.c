// SPDX-License-Identifier: GPL-2.0-only
/*
 * dense_mm [--unfilled] N - multiply two N x N matrices that live in mappings of /dev/paging
 *
 * Maps three matrices of doubles, fills two of them, multiplies them into the
 * third, and prints in microseconds how long the three mmap() calls took, and
 * how long it took from there to the end of the multiplication. All first
 * touches of the pages, hence all faults, fall into the second figure. With
 * --unfilled the matrices are multiplied as they come from the device.
 *
 * The mmap() calls are marked as phase 0, the rest that is timed as phase 1.
 *
 * Exit status: 0, or 1 when the device or the memory cannot be had, or 2 when
 * N is not a number from 1 to MAX_SIZE.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../paging.h"
#include "phase.h"

/* The largest N whose matrix can be addressed with 32 bits: 8 * N * N < 2^32. */
#define MAX_SIZE 23170

static long long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static double *map_matrix(int fd, size_t bytes)
{
	void *matrix = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (matrix == MAP_FAILED) {
		fprintf(stderr, "dense_mm: mmap of %zu bytes: %s\n", bytes, strerror(errno));
		exit(1);
	}
	return matrix;
}

static size_t parse_size(const char *text)
{
	char *end;
	long size;

	errno = 0;
	size = strtol(text, &end, 10);
	if (errno || end == text || *end || size < 1 || size > MAX_SIZE) {
		fprintf(stderr, "dense_mm: N must be a number from 1 to %d, not '%s'\n",
			MAX_SIZE, text);
		exit(2);
	}
	return size;
}

int main(int argc, char **argv)
{
	long long start, mapped, finished;
	size_t n, bytes, i, j, k;
	double *a, *b, *c;
	bool filled = true;
	int fd;

	if (argc == 3 && !strcmp(argv[1], "--unfilled")) {
		filled = false;
		argc--;
		argv++;
	}
	if (argc != 2) {
		fprintf(stderr, "usage: dense_mm [--unfilled] N\n");
		return 2;
	}
	n = parse_size(argv[1]);
	bytes = n * n * sizeof(double);

	fd = open(PAGING_DEVICE_PATH, O_RDWR);
	if (fd < 0) {
		fprintf(stderr, "dense_mm: %s: %s (is kmod_paging loaded?)\n",
			PAGING_DEVICE_PATH, strerror(errno));
		return 1;
	}

	start = now_us();
	phase_begin(0);
	a = map_matrix(fd, bytes);
	b = map_matrix(fd, bytes);
	c = map_matrix(fd, bytes);
	phase_end(0);
	mapped = now_us();
	phase_begin(1);

	/*
	 * The pages of c come zeroed. The others get numbers whose products are inexact in a
	 * double, as measured data is. (An emulator computes those in hardware, and small
	 * integers in software.)
	 */
	for (i = 0; filled && i < n * n; i++) {
		a[i] = rand();
		b[i] = rand();
	}

	for (i = 0; i < n; i++) {
		for (j = 0; j < n; j++) {
			for (k = 0; k < n; k++)
				c[i * n + j] += a[i * n + k] * b[k * n + j];
		}
	}
	phase_end(1);
	finished = now_us();

	printf("Multiplication done\n");
	printf("Time consuming for mmap(microseconds):%lld\n", mapped - start);
	printf("Time point of finishing computing (microseconds):%lld\n", finished - mapped);

	munmap(c, bytes);
	munmap(b, bytes);
	munmap(a, bytes);
	close(fd);
	return 0;
}

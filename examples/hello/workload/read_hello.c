// SPDX-License-Identifier: GPL-2.0-only
/*
 * read_hello SIZE - read SIZE bytes from /dev/hello, and say how long that took
 *
 * Exit status: 0, or 1 when they cannot be read, or 2 for a bad SIZE.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	long size = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
	double start, took_us;
	char *buffer;
	int fd;

	if (size < 1) {
		fprintf(stderr, "usage: read_hello SIZE\n");
		return 2;
	}
	buffer = malloc(size);
	fd = open("/dev/hello", O_RDONLY);
	if (!buffer || fd < 0) {
		fprintf(stderr, "read_hello: /dev/hello: %s\n", strerror(errno));
		return 1;
	}
	/* So that the pages are there before the time is taken. */
	memset(buffer, 1, size);

	start = now_us();
	if (read(fd, buffer, size) != size) {
		fprintf(stderr, "read_hello: read: %s\n", strerror(errno));
		return 1;
	}
	took_us = now_us() - start;

	/* The patterns of experiment.yaml find the numbers in these lines. */
	printf("read: %.1f us\n", took_us);
	printf("throughput: %.2f MB/s\n", size / took_us);
	return 0;
}

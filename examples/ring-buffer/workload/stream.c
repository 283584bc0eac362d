// SPDX-License-Identifier: GPL-2.0-only
/*
 * stream TOTAL CHUNK - send TOTAL bytes through /dev/ring, from one process to another, which
 * write and read CHUNK bytes at a time, and say how many came through in a second
 *
 * Exit status: 0, or 1 when something cannot be done or comes out wrong, or 2 for bad arguments.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEVICE "/dev/ring"

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

/* After so many bytes the stream repeats itself; a prime, so that no ring hides a shift. */
#define PERIOD 251

/* All chunks of the stream: one that begins at place i is at i % PERIOD. */
static char *make_pattern(long chunk)
{
	char *pattern = malloc(PERIOD + chunk);

	if (!pattern)
		err(1, "malloc");
	for (long i = 0; i < PERIOD + chunk; i++)
		pattern[i] = i % PERIOD;
	return pattern;
}

static long least(long a, long b)
{
	return a < b ? a : b;
}

static void send_all(int fd, const char *pattern, long total, long chunk)
{
	for (long sent = 0; sent < total;) {
		ssize_t count = write(fd, pattern + sent % PERIOD, least(chunk, total - sent));

		if (count < 0)
			err(1, DEVICE);
		sent += count;
	}
}

static void receive_all(int fd, const char *pattern, char *buffer, long total, long chunk)
{
	for (long received = 0; received < total;) {
		ssize_t count = read(fd, buffer, chunk);

		if (count < 0)
			err(1, DEVICE);
		if (memcmp(buffer, pattern + received % PERIOD, count))
			errx(1, "behind byte %ld another one came than was sent", received);
		received += count;
	}
}

int main(int argc, char **argv)
{
	long total = argc == 3 ? atol(argv[1]) : 0;
	long chunk = argc == 3 ? atol(argv[2]) : 0;
	double start, took_us;
	char *pattern, *buffer;
	int fd, status;
	pid_t child;

	if (total < 1 || chunk < 1) {
		fprintf(stderr, "usage: stream TOTAL CHUNK\n");
		return 2;
	}
	pattern = make_pattern(chunk);
	buffer = malloc(chunk);
	fd = open(DEVICE, O_RDWR);
	if (!buffer || fd < 0)
		err(1, DEVICE);

	start = now_us();
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child) {
		send_all(fd, pattern, total, chunk);
		return 0;
	}
	receive_all(fd, pattern, buffer, total, chunk);
	took_us = now_us() - start;

	if (wait(&status) != child || status)
		errx(1, "the sender failed");
	printf("throughput: %.3f MB/s\n", total / took_us);
	return 0;
}

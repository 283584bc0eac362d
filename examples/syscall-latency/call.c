// SPDX-License-Identifier: GPL-2.0-only
/*
 * call NAME COUNT - make a system call COUNT times, and say how long one takes
 *
 * Each is made by syscall(), so that neither the C library nor the vDSO answers in its place.
 *
 * Exit status: 0, or 1 when the call fails, or 2 for bad arguments.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static int zero, null;

/* Does nothing in the kernel but look up a number. */
static long call_getppid(void)
{
	return syscall(SYS_getppid);
}

static long call_clock_gettime(void)
{
	struct timespec now;

	return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
}

static long call_write(void)
{
	return syscall(SYS_write, null, "", 1);
}

static long call_read(void)
{
	char byte;

	return syscall(SYS_read, zero, &byte, 1);
}

/* A path is looked up, and a file made and given up. */
static long call_open(void)
{
	long fd = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY);

	return fd < 0 ? fd : syscall(SYS_close, (int)fd);
}

static const struct {
	const char *name;
	long (*make)(void);
} calls[] = {
	{ "getppid", call_getppid },
	{ "clock_gettime", call_clock_gettime },
	{ "write", call_write },
	{ "read", call_read },
	{ "open", call_open },
};

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

int main(int argc, char **argv)
{
	long count = argc == 3 ? atol(argv[2]) : 0;
	long (*make)(void) = NULL;
	double start;

	for (size_t i = 0; argc == 3 && i < ARRAY_SIZE(calls); i++)
		if (!strcmp(argv[1], calls[i].name))
			make = calls[i].make;
	if (!make || count < 1) {
		fprintf(stderr, "usage: call NAME COUNT\n");
		return 2;
	}
	zero = open("/dev/zero", O_RDONLY);
	null = open("/dev/null", O_WRONLY);

	/* Once before the time is taken, for what only the first one has to do. */
	if (make() < 0)
		err(1, "%s", argv[1]);
	start = now_ns();
	for (long i = 0; i < count; i++)
		make();
	printf("latency: %.1f ns\n", (now_ns() - start) / count);
	return 0;
}

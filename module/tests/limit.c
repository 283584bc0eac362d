// SPDX-License-Identifier: GPL-2.0-only
/*
 * The limit of a user's pages, RLIMIT_MEMLOCK: who is charged, for what, and until when.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"

#define LIMIT 32

#define SOMEBODY 4201
#define SOMEBODY_ELSE 4202

static void limit_to(size_t pages)
{
	const struct rlimit limit = { pages * PAGE, pages * PAGE };

	ASSERT_OK(setrlimit(RLIMIT_MEMLOCK, &limit));
}

/* The process is a user's from now on, without capabilities. */
static void become(uid_t user)
{
	limit_to(LIMIT);
	ASSERT_OK(setresgid(user, user, user));
	ASSERT_OK(setresuid(user, user, user));
}

static char *try_map(size_t pages)
{
	int fd = device(O_RDWR);
	char *mapping = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int error = errno;

	close(fd);
	errno = error;
	return mapping;
}

static void map_to_the_limit(void *argument)
{
	long allocated = counter("pages_allocated");
	char *mapping, *second;

	(void)argument;
	become(SOMEBODY);
	ASSERT_ERRNO(try_map(LIMIT + 1), EAGAIN);
	ASSERT_EQ(counter("pages_allocated"), allocated);
	mapping = map_pages(LIMIT - 1, PROT_READ | PROT_WRITE);
	ASSERT_ERRNO(try_map(2), EAGAIN);
	second = map_pages(1, PROT_READ | PROT_WRITE);
	ASSERT_ERRNO(try_map(1), EAGAIN);
	fill_pages(mapping, 1, LIMIT - 1);
	/* A part that goes keeps its pages, and so its charge. */
	ASSERT_OK(munmap(mapping, (LIMIT - 2) * PAGE));
	ASSERT_ERRNO(try_map(1), EAGAIN);
	ASSERT_OK(munmap(mapping + (LIMIT - 2) * PAGE, PAGE));
	ASSERT_OK(munmap(second, PAGE));
	mapping = map_pages(LIMIT, PROT_READ | PROT_WRITE);
	ASSERT_OK(munmap(mapping, LIMIT * PAGE));
}

/*
 * All pages of a mapping count, touched or not, until its last part goes; mmap() beyond the limit
 * is refused (EAGAIN) and counts nothing.
 */
static void enforced(void)
{
	in_child(map_to_the_limit, NULL);
}

static void leave_mapped(void *argument)
{
	(void)argument;
	become(SOMEBODY);
	map_pages(LIMIT, PROT_READ | PROT_WRITE);
}

/* What a process leaves mapped when it exits is not charged any more. */
static void exit_returns(void)
{
	in_child(leave_mapped, NULL);
	in_child(leave_mapped, NULL);
}

static void map_the_rest(void *argument)
{
	(void)argument;
	become(SOMEBODY);
	ASSERT_ERRNO(try_map(LIMIT - 19), EAGAIN);
	ASSERT_OK(try_map(LIMIT - 20));
}

static void map_as_somebody_else(void *argument)
{
	(void)argument;
	become(SOMEBODY_ELSE);
	ASSERT_OK(try_map(LIMIT));
}

static void hold_twenty(void *argument)
{
	int *ready = argument;
	char byte;

	become(SOMEBODY);
	map_pages(20, PROT_READ | PROT_WRITE);
	ASSERT(write(ready[1], "", 1) == 1);
	/* Until the other end is closed. */
	close(ready[3]);
	ASSERT(read(ready[2], &byte, 1) == 0);
}

/* The processes of one user share the limit; another user has one of his own. */
static void per_user(void)
{
	int pipes[4];
	pid_t holder;
	char byte;

	ASSERT_OK(pipe(pipes));
	ASSERT_OK(pipe(pipes + 2));
	holder = start_child(hold_twenty, pipes);
	/* So that the read ends if the child has failed. */
	close(pipes[1]);
	ASSERT(read(pipes[0], &byte, 1) == 1);
	in_child(map_the_rest, NULL);
	in_child(map_as_somebody_else, NULL);
	close(pipes[3]);
	expect_exit(holder);
}

static void touch_inherited(void *argument)
{
	/* Not charged a second time, nor to somebody else. */
	fill_pages(argument, 1, LIMIT);
	ASSERT_ERRNO(try_map(1), EAGAIN);
}

static void inherit(void *argument)
{
	char *mapping;

	(void)argument;
	become(SOMEBODY);
	mapping = map_pages(LIMIT, PROT_READ | PROT_WRITE);
	in_child(touch_inherited, mapping);
	ASSERT(pages_hold(mapping, 1, LIMIT));
	ASSERT_ERRNO(try_map(1), EAGAIN);
	ASSERT_OK(munmap(mapping, LIMIT * PAGE));
	ASSERT_OK(try_map(LIMIT));
}

/* A forked child's share of a mapping is charged once, to who made the mapping. */
static void fork_charges_once(void)
{
	in_child(inherit, NULL);
}

static void map_beyond(void *argument)
{
	char *mapping;

	(void)argument;
	limit_to(0);
	mapping = map_pages(LIMIT, PROT_READ | PROT_WRITE);
	fill_pages(mapping, 1, LIMIT);
	ASSERT_OK(munmap(mapping, LIMIT * PAGE));
}

/* A process with CAP_IPC_LOCK may exceed its limit. */
static void privileged(void)
{
	in_child(map_beyond, NULL);
}

static const struct ktap_case cases[] = {
	{ .name = "enforced", .run = enforced },
	{ .name = "exit_returns", .run = exit_returns },
	{ .name = "per_user", .run = per_user },
	{ .name = "fork_charges_once", .run = fork_charges_once },
	{ .name = "privileged", .run = privileged },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

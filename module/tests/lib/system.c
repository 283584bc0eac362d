// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "system.h"

bool find_number(const char *path, long *number)
{
	char text[64] = "", *end;
	ssize_t length;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return false;
	*number = strtol(text, &end, 0);
	return end != text;
}

long read_number(const char *path)
{
	long number;

	if (!find_number(path, &number))
		FAIL("%s: there is no number to be read", path);
	return number;
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t length;
	int error;

	if (fd < 0)
		return -1;
	length = write(fd, text, strlen(text));
	error = errno;
	close(fd);
	errno = error;
	return length < 0 ? -1 : 0;
}

char *reserve_pages(size_t pages)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	char *address = mmap(NULL, pages * PAGE, PROT_NONE, flags, -1, 0);

	if (address == MAP_FAILED)
		FAIL("mmap of %zu pages without access: %s", pages, strerror(errno));
	return address;
}

void *shared_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		FAIL("mmap of %zu anonymous bytes: %s", bytes, strerror(errno));
	return memory;
}

static sigjmp_buf escape;

static void on_signal(int number)
{
	siglongjmp(escape, number);
}

static int try_access(char *address, bool write, char value)
{
	struct sigaction action = { .sa_handler = on_signal }, old_segv, old_bus;
	int signal;

	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, &old_segv);
	sigaction(SIGBUS, &action, &old_bus);
	signal = sigsetjmp(escape, 1);
	if (!signal) {
		if (write)
			__atomic_store_n(address, value, __ATOMIC_RELAXED);
		else
			asm volatile("" : : "r" (__atomic_load_n(address, __ATOMIC_RELAXED)));
	}
	sigaction(SIGSEGV, &old_segv, NULL);
	sigaction(SIGBUS, &old_bus, NULL);
	return signal;
}

int try_read(const char *address)
{
	return try_access((char *)address, false, 0);
}

int try_write(char *address, char value)
{
	return try_access(address, true, value);
}

void fill_page(char *page, unsigned int tag)
{
	unsigned int *words = (unsigned int *)page;
	size_t i;

	for (i = 0; i < PAGE / sizeof(*words); i++)
		words[i] = tag * 2654435761U + i;
}

bool page_holds(const char *page, unsigned int tag)
{
	const unsigned int *words = (const unsigned int *)page;
	size_t i;

	for (i = 0; i < PAGE / sizeof(*words); i++) {
		if (words[i] != tag * 2654435761U + i)
			return false;
	}
	return true;
}

bool page_is_zero(const char *page)
{
	const unsigned int *words = (const unsigned int *)page;
	size_t i;

	for (i = 0; i < PAGE / sizeof(*words); i++) {
		if (words[i])
			return false;
	}
	return true;
}

void fill_pages(char *address, unsigned int first, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		fill_page(address + i * PAGE, first + i);
}

bool pages_hold(const char *address, unsigned int first, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++) {
		if (!page_holds(address + i * PAGE, first + i))
			return false;
	}
	return true;
}

bool pages_are_zero(const char *address, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++) {
		if (!page_is_zero(address + i * PAGE))
			return false;
	}
	return true;
}

pid_t start_child(void (*function)(void *argument), void *argument)
{
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child < 0)
		FAIL("fork: %s", strerror(errno));
	if (!child) {
		function(argument);
		fflush(NULL);
		_exit(0);
	}
	return child;
}

void expect_exit(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child)
		FAIL("waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status))
		FAIL("a child was killed by signal %d", WTERMSIG(status));
	/* A failed child has said why. */
	if (WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
}

void in_child(void (*function)(void *argument), void *argument)
{
	expect_exit(start_child(function, argument));
}

int log_follow(void)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (log < 0 || lseek(log, 0, SEEK_END) < 0)
		FAIL("/dev/kmsg: %s", strerror(errno));
	return log;
}

bool log_next(int log, char *line, size_t size)
{
	/* "priority,number,time,flags;text", then perhaps lines " KEY=value". */
	char record[4096];
	ssize_t length = read(log, record, sizeof(record) - 1);
	char *text;

	if (length < 0 && errno == EAGAIN)
		return false;
	if (length < 0)
		FAIL("/dev/kmsg: %s", strerror(errno));
	record[length] = '\0';
	text = strchr(record, ';');
	text = text ? text + 1 : record;
	text[strcspn(text, "\n")] = '\0';
	snprintf(line, size, "%s", text);
	return true;
}

bool mounted(const char *type, const char *target)
{
	return mount("none", target, type, 0, NULL) == 0 || errno == EBUSY;
}

unsigned int next_random(unsigned int *state)
{
	unsigned int x = *state ? *state : 1;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

long kept_pages(void)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	long kept = 0, count;
	char line[128];

	if (!file)
		FAIL("/proc/zoneinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " count: %ld", &count) == 1)
			kept += count;
	}
	fclose(file);
	return kept;
}

/* Where the program's own variables begin and end, as the linker says. */
extern char __data_start[], _end[];

void touch_own_memory(void)
{
	char stack[8 * PAGE];
	uintptr_t end = (uintptr_t)_end, at;

	/* Variables, as the streams that the end flushes, are shared with the parent till then. */
	for (at = (uintptr_t)__data_start; at < end; at += PAGE)
		__atomic_fetch_add((char *)at, 0, __ATOMIC_RELAXED);
	__atomic_fetch_add((char *)(end - 1), 0, __ATOMIC_RELAXED);
	memset(stack, 1, sizeof(stack));
	asm volatile("" : : "r" (stack) : "memory");
}

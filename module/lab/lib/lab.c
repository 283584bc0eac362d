// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab.h"
#include "memory.h"

/* What a case gives away at once, of the device and of a process. */
#define REUSED_PAGES 256

void use_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int device(void)
{
	int fd = open(DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		FAIL("%s: %s", DEVICE_PATH, strerror(errno));
	return fd;
}

char *try_map(size_t pages)
{
	int fd = device();
	char *mapping = mmap(NULL, pages * PAGE, READ_WRITE, MAP_SHARED, fd, 0);
	int error = errno;

	close(fd);
	errno = error;
	return mapping == MAP_FAILED ? NULL : mapping;
}

char *map_pages(size_t pages)
{
	char *mapping = try_map(pages);

	if (!mapping)
		FAIL("mmap of %zu pages: %s", pages, strerror(errno));
	return mapping;
}

void unmap_pages(char *address, size_t pages)
{
	if (munmap(address, pages * PAGE))
		FAIL("munmap of %zu pages: %s", pages, strerror(errno));
}

void touch_pages(const char *address, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		asm volatile("" : : "r" (__atomic_load_n(address + i * PAGE, __ATOMIC_RELAXED)));
}

static long minor_faults(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage))
		FAIL("getrusage: %s", strerror(errno));
	return usage.ru_minflt;
}

long faults_of_read(const char *address)
{
	long before = minor_faults();

	touch_pages(address, 1);
	return minor_faults() - before;
}

bool module_has_parameter(const char *name)
{
	struct stat status;
	char path[128], words[96];
	void *file;
	bool found;
	int fd;

	/* As modinfo reads it: a module keeps what it declares in text. */
	snprintf(path, sizeof(path), "/lib/modules/%s.ko", ktap_options.module);
	snprintf(words, sizeof(words), "parmtype=%s:", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status))
		FAIL("%s: %s", path, strerror(errno));
	file = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		FAIL("mmap of %s: %s", path, strerror(errno));
	close(fd);
	found = memmem(file, status.st_size, words, strlen(words));
	munmap(file, status.st_size);
	return found;
}

static void fill_anonymous(size_t pages)
{
	char *memory = mmap(NULL, pages * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		FAIL("mmap of %zu anonymous pages: %s", pages, strerror(errno));
	memset(memory, 0xa5, pages * PAGE);
	munmap(memory, pages * PAGE);
}

void reuse_freed_memory(void)
{
	char *mapping = map_pages(REUSED_PAGES);

	memset(mapping, 0x5a, REUSED_PAGES * PAGE);
	fill_anonymous(REUSED_PAGES);
	unmap_pages(mapping, REUSED_PAGES);
}

static void fill_free_memory(void *unused)
{
	(void)unused;
	fill_anonymous(free_pages() / 10 * 9);
}

void dirty_free_memory(void)
{
	in_child(fill_free_memory, NULL);
}

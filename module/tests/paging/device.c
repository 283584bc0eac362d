// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/ktap.h"
#include "device.h"

long counter(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/misc/" PAGING_DEVICE_NAME "/%s", name);
	return read_number(path);
}

bool demand_paging(void)
{
	const char *path = "/sys/module/" MODULE_NAME "/parameters/demand_paging";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char value = 0;

	if (fd < 0 || read(fd, &value, 1) != 1)
		FAIL("%s: %s", path, strerror(errno));
	close(fd);
	return value == 'Y';
}

long by_mode(long demand_paging_number, long pre_paging_number)
{
	return demand_paging() ? demand_paging_number : pre_paging_number;
}

int device(int flags)
{
	int fd = open(PAGING_DEVICE_PATH, flags | O_CLOEXEC);

	if (fd < 0)
		FAIL("%s: %s", PAGING_DEVICE_PATH, strerror(errno));
	return fd;
}

static char *map_device(char *address, size_t pages, int prot, int flags)
{
	int fd = device(O_RDWR);
	char *mapping = mmap(address, pages * PAGE, prot, MAP_SHARED | flags, fd, 0);

	if (mapping == MAP_FAILED)
		FAIL("mmap of %zu pages: %s", pages, strerror(errno));
	close(fd);
	return mapping;
}

char *map_pages(size_t pages, int prot)
{
	return map_device(NULL, pages, prot, 0);
}

char *map_pages_at(char *address, size_t pages, int prot)
{
	return map_device(address, pages, prot, MAP_FIXED);
}

#define TRACING "/sys/kernel/tracing"

static void trace_clear(void)
{
	int fd = open(TRACING "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0)
		FAIL(TRACING "/trace: %s", strerror(errno));
	close(fd);
}

static void trace_begin(void)
{
	if (!mounted("tracefs", TRACING))
		skip("tracefs: %s", strerror(errno));
	if (access(TRACING "/events/paging", F_OK))
		skip("the kernel has no trace events");
	trace_clear();
}

static void trace_event(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), TRACING "/events/paging/%s/enable", name);
	if (write_text(path, "1"))
		FAIL("%s: %s", path, strerror(errno));
}

void trace_start(void)
{
	trace_begin();
	trace_event("mmap");
	trace_event("fault");
	trace_event("close");
}

void trace_pages_start(void)
{
	trace_begin();
	trace_event("allocate");
}

void trace_read(char *text, size_t size)
{
	FILE *file = fopen(TRACING "/trace", "re");
	size_t used = 0;
	char line[512];

	if (!file)
		FAIL(TRACING "/trace: %s", strerror(errno));
	text[0] = '\0';
	while (fgets(line, sizeof(line), file)) {
		/* "task-pid [cpu] flags time: name: fields" */
		char *event = strstr(line, ": ");

		if (line[0] == '#' || !event)
			continue;
		used += snprintf(text + used, size - used, "%s", event + 2);
		if (used >= size)
			FAIL("more trace events than expected");
	}
	fclose(file);
}

void trace_stop(void)
{
	if (write_text(TRACING "/events/paging/enable", "0"))
		FAIL(TRACING "/events/paging/enable: %s", strerror(errno));
	trace_clear();
}

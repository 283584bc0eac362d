// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lab.h"
#include "memory.h"

/* What comes and goes without any doing of a case, in pages: 10 at most were seen. */
#define NOISE_PAGES 24
#define NOISE_SLAB 32
#define NOISE_VMALLOC 16

#define KIB_PER_PAGE ((long)(PAGE / 1024))

/* The lines of /proc/meminfo that say what pages are used for, but for slabs and vmalloc. */
static const char * const uses[] = {
	"MemFree", "Buffers", "Cached", "SwapCached", "AnonPages", "KernelStack", "PageTables",
	"SecPageTables", "Percpu",
};

/* The number of a line "NAME:   123 kB", if that is its name. */
static bool line_has(const char *line, const char *name, long *number)
{
	size_t length = strlen(name);

	return !strncmp(line, name, length) && line[length] == ':' &&
	       sscanf(line + length + 1, "%ld", number) == 1;
}

static struct memory read_memory(size_t *free)
{
	long total = 0, known = 0, slab = 0, reclaimable = 0, vmalloc = 0, kept = kept_pages();
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];

	if (!file)
		FAIL("/proc/meminfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		long number;
		size_t i;

		for (i = 0; i < ARRAY_SIZE(uses); i++) {
			if (line_has(line, uses[i], &number))
				known += number;
		}
		if (line_has(line, "MemFree", &number) && free)
			*free = number / KIB_PER_PAGE + kept;
		if (line_has(line, "MemTotal", &number))
			total = number;
		if (line_has(line, "Slab", &number))
			slab = number;
		if (line_has(line, "SReclaimable", &number))
			reclaimable = number;
		if (line_has(line, "VmallocUsed", &number))
			vmalloc = number;
	}
	fclose(file);
	if (!total)
		FAIL("/proc/meminfo has no MemTotal");
	return (struct memory){
		.pages = (total - known - slab - vmalloc) / KIB_PER_PAGE - kept,
		.slab = (slab - reclaimable) / KIB_PER_PAGE,
		.vmalloc = vmalloc / KIB_PER_PAGE,
	};
}

size_t free_pages(void)
{
	size_t free = 0;

	read_memory(&free);
	return free;
}

static void sleep_ms(long ms)
{
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

/* Slabs that hold nothing are kept for their cache's next use, until it is told not to. */
static void shrink_slabs(void)
{
	const char *folder = "/sys/kernel/slab";
	DIR *caches = opendir(folder);
	struct dirent *cache;
	char path[512];

	if (!caches)
		return;
	while ((cache = readdir(caches))) {
		snprintf(path, sizeof(path), "%s/%s/shrink", folder, cache->d_name);
		write_text(path, "1");
	}
	closedir(caches);
}

static struct memory flush_and_read(void)
{
	/* Those that may go, and pages on their way into lists. */
	if (write_text("/proc/sys/vm/drop_caches", "3"))
		FAIL("/proc/sys/vm/drop_caches: %s", strerror(errno));
	shrink_slabs();
	if (write_text("/proc/sys/vm/stat_refresh", "1"))
		FAIL("/proc/sys/vm/stat_refresh: %s", strerror(errno));
	return read_memory(NULL);
}

struct memory memory_now(void)
{
	struct memory now = flush_and_read(), last;
	unsigned int i;

	/* What ended processes have left is freed a moment later, by RCU. */
	for (i = 0; i < 10; i++) {
		last = now;
		sleep_ms(20);
		now = flush_and_read();
		if (!memcmp(&now, &last, sizeof(now)))
			break;
	}
	return now;
}

/* What is lost of each kind, in pages, beyond noise. */
static struct memory lost_since(const struct memory *before)
{
	struct memory now = memory_now();
	struct memory lost = {
		.pages = now.pages - before->pages,
		.slab = now.slab - before->slab,
		.vmalloc = now.vmalloc - before->vmalloc,
	};

	if (lost.pages <= NOISE_PAGES)
		lost.pages = 0;
	if (lost.slab <= NOISE_SLAB)
		lost.slab = 0;
	if (lost.vmalloc <= NOISE_VMALLOC)
		lost.vmalloc = 0;
	return lost;
}

void expect_returned(const struct memory *before)
{
	struct memory lost = { 0 };
	unsigned int i;

	for (i = 0; i < 20; i++) {
		lost = lost_since(before);
		if (!lost.pages && !lost.slab && !lost.vmalloc)
			return;
		sleep_ms(30);
	}
	FAIL("lost: %ld KiB in pages, %ld KiB in slabs (kmalloc), %ld KiB of vmalloc",
	     lost.pages * KIB_PER_PAGE, lost.slab * KIB_PER_PAGE, lost.vmalloc * KIB_PER_PAGE);
}

void expect_no_growth(void (*round)(void *argument), void *argument, unsigned int rounds)
{
	struct memory before;
	unsigned int i;

	/* Lists and caches fill up first. */
	for (i = 0; i < rounds / 8 + 1; i++)
		round(argument);
	before = memory_now();
	for (i = 0; i < rounds; i++)
		round(argument);
	expect_returned(&before);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the rest of the system sees of a mapping, and what it can do with it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/elf.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"

#define NR_PAGES 16
#define READ_WRITE (PROT_READ | PROT_WRITE)

/* Glibc 2.36 does not have it. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define CORE_PATTERN "/proc/sys/kernel/core_pattern"
#define CORE_PREFIX "/tmp/paging-core"
#define MARKER_SIZE 64

/* The line of /proc/self/maps for the mapping that begins at the address must be as given. */
static void check_maps_line(const char *address, size_t pages, const char *access,
			    unsigned long offset)
{
	unsigned long start, end, line_offset, inode;
	char line[256], line_access[8], device_number[16], path[128];
	FILE *maps = fopen("/proc/self/maps", "r");

	ASSERT(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %7s %lx %15s %lu %127s", &start, &end, line_access,
			   &line_offset, device_number, &inode, path) != 7 ||
		    start != (uintptr_t)address)
			continue;
		fclose(maps);
		ASSERT_EQ(end - start, pages * PAGE);
		if (strcmp(line_access, access))
			FAIL("access is %s, expected %s", line_access, access);
		ASSERT_EQ(line_offset, offset);
		ASSERT(!strcmp(path, PAGING_DEVICE_PATH));
		return;
	}
	FAIL("no line for %p", address);
}

/* /proc/self/maps shows a mapping's range, access, offset and file, and so its pieces'. */
static void maps_line(void)
{
	int fd = device(O_RDWR), read_only = device(O_RDONLY);
	char *mapping = mmap(NULL, NR_PAGES * PAGE, READ_WRITE, MAP_SHARED, fd, 5 * PAGE);
	char *other = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0);

	ASSERT_OK(mapping);
	ASSERT_OK(other);
	check_maps_line(mapping, NR_PAGES, "rw-s", 5 * PAGE);
	check_maps_line(other, 1, "r--s", 0);

	ASSERT_OK(mprotect(mapping, 4 * PAGE, PROT_NONE));
	ASSERT_OK(mprotect(mapping + 4 * PAGE, 2 * PAGE, PROT_READ));
	ASSERT_OK(munmap(mapping + 6 * PAGE, PAGE));
	check_maps_line(mapping, 4, "---s", 5 * PAGE);
	check_maps_line(mapping + 4 * PAGE, 2, "r--s", 9 * PAGE);
	check_maps_line(mapping + 7 * PAGE, NR_PAGES - 7, "rw-s", 12 * PAGE);
}

/* The marker is never in other memory: only this is, and the parent has it only later. */
static unsigned char masked_marker[MARKER_SIZE];
#define MASK 0xa5

static void dump_core(void *mapping)
{
	static const struct rlimit no_limit = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned char *bytes = mapping;
	size_t i;

	ASSERT_OK(setrlimit(RLIMIT_CORE, &no_limit));
	for (i = 0; i < MARKER_SIZE; i++)
		__atomic_store_n(&bytes[i], masked_marker[i] ^ MASK, __ATOMIC_RELAXED);
	abort();
}

/* Kills a child by abort() with core dumps going to /tmp; returns its wait status. */
static int make_core(char *mapping, char *path, size_t path_size)
{
	char old_pattern[256] = "";
	int fd = open(CORE_PATTERN, O_RDONLY | O_CLOEXEC);
	pid_t child;
	int status;

	ASSERT_OK(fd);
	ASSERT(read(fd, old_pattern, sizeof(old_pattern) - 1) > 0);
	close(fd);
	ASSERT_OK(write_text(CORE_PATTERN, CORE_PREFIX ".%p"));
	child = start_child(dump_core, mapping);
	ASSERT_EQ(waitpid(child, &status, 0), child);
	ASSERT_OK(write_text(CORE_PATTERN, old_pattern));
	snprintf(path, path_size, CORE_PREFIX ".%d", (int)child);
	return status;
}

/* The program header of the segment at an address. */
static const struct elf32_phdr *find_segment(const char *core, uintptr_t address)
{
	const struct elf32_hdr *header = (const struct elf32_hdr *)core;
	const struct elf32_phdr *segment = (const struct elf32_phdr *)(core + header->e_phoff);
	unsigned int i;

	for (i = 0; i < header->e_phnum; i++, segment++) {
		if (segment->p_type == PT_LOAD && address >= segment->p_vaddr &&
		    address < segment->p_vaddr + segment->p_memsz)
			return segment;
	}
	return NULL;
}

/* A core dump of a process has its memory, but not the content of the device's. */
static void core_dump(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	unsigned int state = ktap_options.seed;
	const struct elf32_phdr *segment;
	char path[64];
	off_t size;
	size_t i;
	int status, fd;
	char *core;

	for (i = 0; i < MARKER_SIZE; i++)
		masked_marker[i] = next_random(&state) >> 8;
	status = make_core(mapping, path, sizeof(path));
	ASSERT(WIFSIGNALED(status));
	ASSERT_EQ(WTERMSIG(status), SIGABRT);
	ASSERT(WCOREDUMP(status));

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL("%s: %s", path, strerror(errno));
	unlink(path);
	size = lseek(fd, 0, SEEK_END);
	ASSERT(size > (off_t)sizeof(struct elf32_hdr));
	core = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	ASSERT_OK(core);
	ASSERT(!memcmp(core, ELFMAG, SELFMAG));

	/* The child wrote it; so it is in the parent's mapping now. */
	for (i = 0; i < MARKER_SIZE; i++)
		ASSERT_EQ((unsigned char)mapping[i], masked_marker[i] ^ MASK);
	ASSERT(!memmem(core, size, mapping, MARKER_SIZE));
	segment = find_segment(core, (uintptr_t)mapping);
	ASSERT(segment);
	ASSERT_EQ(segment->p_filesz, 0);
	ASSERT_EQ(segment->p_memsz, NR_PAGES * PAGE);

	ASSERT(memmem(core, size, masked_marker, MARKER_SIZE));
	segment = find_segment(core, (uintptr_t)masked_marker);
	ASSERT(segment);
	ASSERT(segment->p_filesz > 0);
}

/* /proc/PID/mem neither reads nor writes a mapping (EIO), touched or not. */
static void proc_mem(void)
{
	long allocated = counter("pages_allocated");
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char own[8] = "own";
	char data[8];

	ASSERT_OK(fd);
	fill_page(mapping, 1);
	ASSERT_EQ(pread64(fd, data, sizeof(data), (uintptr_t)own), sizeof(data));
	ASSERT(!memcmp(data, own, sizeof(data)));

	ASSERT_ERRNO(pread64(fd, data, sizeof(data), (uintptr_t)mapping), EIO);
	ASSERT_ERRNO(pread64(fd, data, sizeof(data), (uintptr_t)mapping + PAGE), EIO);
	ASSERT_ERRNO(pwrite64(fd, data, sizeof(data), (uintptr_t)mapping), EIO);
	ASSERT_ERRNO(pwrite64(fd, data, sizeof(data), (uintptr_t)mapping + PAGE), EIO);
	ASSERT(page_holds(mapping, 1));
	ASSERT_EQ(counter("pages_allocated") - allocated, by_mode(1, NR_PAGES));
}

/* A debugger neither reads nor writes a mapping of the process that it traces (EIO). */
static void debugger(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	static long own = 4711;
	pid_t child;
	int status;

	fill_page(mapping, 1);
	child = fork();
	ASSERT_OK(child);
	if (!child) {
		ASSERT_OK(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		raise(SIGSTOP);
		_exit(0);
	}
	ASSERT_EQ(waitpid(child, &status, 0), child);
	ASSERT(WIFSTOPPED(status));
	ASSERT_EQ(ptrace(PTRACE_PEEKDATA, child, &own, NULL), own);
	ASSERT_ERRNO(ptrace(PTRACE_PEEKDATA, child, mapping, NULL), EIO);
	ASSERT_ERRNO(ptrace(PTRACE_PEEKDATA, child, mapping + PAGE, NULL), EIO);
	ASSERT_ERRNO(ptrace(PTRACE_POKEDATA, child, mapping, NULL), EIO);
	ASSERT_OK(ptrace(PTRACE_DETACH, child, NULL, NULL));
	expect_exit(child);
	ASSERT(page_holds(mapping, 1));
}

/* No one can hold on to a page: vmsplice, which would put it into a pipe, fails (EFAULT). */
static void vmsplice_refused(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	struct iovec vector = { .iov_base = mapping, .iov_len = PAGE };
	int ends[2];

	fill_page(mapping, 1);
	ASSERT_OK(pipe(ends));
	ASSERT_ERRNO(vmsplice(ends[1], &vector, 1, SPLICE_F_NONBLOCK), EFAULT);
	vector.iov_base = mapping + PAGE;
	ASSERT_ERRNO(vmsplice(ends[1], &vector, 1, SPLICE_F_NONBLOCK), EFAULT);
	ASSERT(page_holds(mapping, 1));
}

static long futex(char *word, int operation, int value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

/*
 * A futex in a mapping cannot be shared between processes (EFAULT): the core would need the page
 * itself. Within a process it works.
 */
static void futex_private_only(void)
{
	char *mapping = map_pages(2, READ_WRITE);

	ASSERT_ERRNO(futex(mapping, FUTEX_WAIT, 1), EFAULT);
	ASSERT_ERRNO(futex(mapping, FUTEX_WAKE, 1), EFAULT);
	ASSERT_EQ(counter("pages_live"), by_mode(0, 2));
	fill_page(mapping, 1);
	ASSERT_ERRNO(futex(mapping, FUTEX_WAIT, 1), EFAULT);
	ASSERT_ERRNO(futex(mapping, FUTEX_WAKE, 1), EFAULT);

	/* Not 1, so there is no wait; the untouched page is faulted in. */
	ASSERT_ERRNO(futex(mapping, FUTEX_WAIT_PRIVATE, 1), EAGAIN);
	ASSERT_ERRNO(futex(mapping + PAGE, FUTEX_WAIT_PRIVATE, 1), EAGAIN);
	ASSERT_EQ(futex(mapping, FUTEX_WAKE_PRIVATE, 1), 0);
	ASSERT_EQ(counter("pages_live"), 2);
}

/*
 * madvise cannot make the core drop, fetch, move or dump the pages, nor undo what it is told of
 * them: such advice is refused. Data stays, and none is allocated.
 */
static void madvise_refused(void)
{
	static const int refused[] = {
		MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_DOFORK, MADV_DODUMP,
		MADV_WIPEONFORK, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_HUGEPAGE,
		MADV_COLLAPSE, MADV_MERGEABLE,
	};
	static const int harmless[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTDUMP,
	};
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	size_t i, bytes = NR_PAGES * PAGE;

	fill_pages(mapping, 0, NR_PAGES / 2);
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		errno = 0;
		if (madvise(mapping, bytes, refused[i]) != -1 || errno != EINVAL)
			FAIL("advice %d: %s, expected EINVAL", refused[i], strerror(errno));
	}
	/* A device has no holes. */
	ASSERT_ERRNO(madvise(mapping, bytes, MADV_REMOVE), ENODEV);
	for (i = 0; i < ARRAY_SIZE(harmless); i++)
		ASSERT_OK(madvise(mapping, bytes, harmless[i]));

	ASSERT_EQ(counter("pages_live"), by_mode(NR_PAGES / 2, NR_PAGES));
	ASSERT_EQ(counter("mappings"), 1);
	ASSERT(pages_hold(mapping, 0, NR_PAGES / 2));
	ASSERT(pages_are_zero(mapping + NR_PAGES / 2 * PAGE, NR_PAGES / 2));
}

/* msync has nothing to write to: MS_SYNC is refused (EINVAL), the rest does nothing. */
static void msync_does_nothing(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	size_t bytes = NR_PAGES * PAGE;

	fill_pages(mapping, 0, NR_PAGES / 2);
	ASSERT_ERRNO(msync(mapping, bytes, MS_SYNC), EINVAL);
	ASSERT_OK(msync(mapping, bytes, MS_ASYNC));
	ASSERT_OK(msync(mapping, bytes, MS_INVALIDATE));
	ASSERT_EQ(counter("pages_live"), by_mode(NR_PAGES / 2, NR_PAGES));
	ASSERT(pages_hold(mapping, 0, NR_PAGES / 2));
}

/* mincore reports no page as being in memory: it looks for them in the page cache. */
static void mincore_sees_none(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	unsigned char present[NR_PAGES];
	size_t i;

	fill_pages(mapping, 0, NR_PAGES / 2);
	memset(present, 0xff, sizeof(present));
	ASSERT_OK(mincore(mapping, NR_PAGES * PAGE, present));
	for (i = 0; i < NR_PAGES; i++)
		ASSERT_EQ(present[i], 0);
	ASSERT_EQ(counter("pages_live"), by_mode(NR_PAGES / 2, NR_PAGES));
}

static long resident_pages(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	long resident;

	ASSERT(statm);
	ASSERT_EQ(fscanf(statm, "%*d %ld", &resident), 1);
	fclose(statm);
	return resident;
}

/* The pages do not count as resident memory of the process. */
static void not_resident(void)
{
	const size_t pages = 1024;
	char *mapping = map_pages(pages, READ_WRITE);
	long before = resident_pages();
	char *own;

	fill_pages(mapping, 0, pages);
	/* The count may be off by some pages per CPU. */
	ASSERT(labs(resident_pages() - before) < (long)pages / 4);

	own = mmap(NULL, pages * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_OK(own);
	fill_pages(own, 0, pages);
	ASSERT(resident_pages() - before > (long)pages * 3 / 4);
}

static const struct ktap_case cases[] = {
	{ .name = "maps_line", .run = maps_line },
	{ .name = "core_dump", .run = core_dump },
	{ .name = "proc_mem", .run = proc_mem },
	{ .name = "debugger", .run = debugger },
	{ .name = "vmsplice_refused", .run = vmsplice_refused },
	{ .name = "futex_private_only", .run = futex_private_only },
	{ .name = "madvise_refused", .run = madvise_refused },
	{ .name = "msync_does_nothing", .run = msync_does_nothing },
	{ .name = "mincore_sees_none", .run = mincore_sees_none },
	{ .name = "not_resident", .run = not_resident },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

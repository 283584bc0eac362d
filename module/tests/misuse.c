// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the device does not offer is refused, and no sequence of calls does any harm.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"

/* Where the random case maps. */
#define ARENA_PAGES 512
#define MAX_PAGES 64

#define NR_FDS 4

/* The device cannot be read (EINVAL). */
static void no_read(void)
{
	char buffer[16];
	struct iovec vector = { .iov_base = buffer, .iov_len = sizeof(buffer) };
	int fd = device(O_RDWR), writer = device(O_WRONLY);

	ASSERT_ERRNO(read(fd, buffer, sizeof(buffer)), EINVAL);
	ASSERT_ERRNO(read(fd, buffer, 0), EINVAL);
	ASSERT_ERRNO(pread(fd, buffer, sizeof(buffer), 0), EINVAL);
	ASSERT_ERRNO(pread(fd, buffer, sizeof(buffer), 1L << 30), EINVAL);
	ASSERT_ERRNO(readv(fd, &vector, 1), EINVAL);
	ASSERT_ERRNO(read(writer, buffer, sizeof(buffer)), EBADF);
	close(fd);
	close(writer);
}

/* Nor written (EINVAL). */
static void no_write(void)
{
	char buffer[16] = "";
	struct iovec vector = { .iov_base = buffer, .iov_len = sizeof(buffer) };
	int fd = device(O_RDWR), append = device(O_RDWR | O_APPEND), reader = device(O_RDONLY);

	ASSERT_ERRNO(write(fd, buffer, sizeof(buffer)), EINVAL);
	ASSERT_ERRNO(write(fd, buffer, 0), EINVAL);
	ASSERT_ERRNO(pwrite(fd, buffer, sizeof(buffer), 0), EINVAL);
	ASSERT_ERRNO(writev(fd, &vector, 1), EINVAL);
	ASSERT_ERRNO(write(append, buffer, sizeof(buffer)), EINVAL);
	ASSERT_ERRNO(write(reader, buffer, sizeof(buffer)), EBADF);
	close(fd);
	close(append);
	close(reader);
}

/* It has no position (ESPIPE). */
static void no_seek(void)
{
	int fd = device(O_RDWR);

	ASSERT_ERRNO(lseek(fd, 0, SEEK_SET), ESPIPE);
	ASSERT_ERRNO(lseek(fd, 0, SEEK_CUR), ESPIPE);
	ASSERT_ERRNO(lseek(fd, PAGE, SEEK_END), ESPIPE);
	ASSERT_ERRNO(lseek(fd, 0, SEEK_DATA), ESPIPE);
	close(fd);
}

/* It has no ioctl (ENOTTY), whatever the number and argument. */
static void no_ioctl(void)
{
	static const unsigned long sizes[] = { 0, 1, 4, 8, 4096, _IOC_SIZEMASK };
	char buffer[16];
	unsigned int type, number;
	int fd = device(O_RDWR);

	for (type = 0; type < 256; type += 5) {
		/* Those of the VFS itself, which it answers for any file. */
		if (type == 'T' || type == 'X' || type == 'f' || type == 0x12 || type == 0x94 ||
		    type == 0x15 || type == 0)
			continue;
		for (number = 0; number < 256; number += 3) {
			unsigned int request = _IOC(number & 3, type, number,
						    sizes[number % ARRAY_SIZE(sizes)]);

			ASSERT_ERRNO(ioctl(fd, request, buffer), ENOTTY);
			ASSERT_ERRNO(ioctl(fd, request, NULL), ENOTTY);
		}
	}
	ASSERT_ERRNO(ioctl(fd, 0x5401 /* TCGETS */, buffer), ENOTTY);
	ASSERT_ERRNO(ioctl(fd, FIONREAD, buffer), ENOTTY);
	ASSERT_ERRNO(ioctl(fd, 0xdeadbeef, -1L), ENOTTY);
	close(fd);
}

/* It has no size and no storage: truncate EINVAL, fallocate ENODEV, fsync EINVAL. */
static void no_storage(void)
{
	int fd = device(O_RDWR);
	struct stat status;

	ASSERT_ERRNO(ftruncate(fd, 0), EINVAL);
	ASSERT_ERRNO(ftruncate(fd, PAGE), EINVAL);
	ASSERT_ERRNO(truncate(PAGING_DEVICE_PATH, 0), EINVAL);
	ASSERT_ERRNO(fallocate(fd, 0, 0, PAGE), ENODEV);
	ASSERT_ERRNO(fsync(fd), EINVAL);
	ASSERT_ERRNO(fdatasync(fd), EINVAL);
	ASSERT_ERRNO(sync_file_range(fd, 0, PAGE, SYNC_FILE_RANGE_WRITE), ESPIPE);
	ASSERT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED), 0);
	ASSERT_OK(fstat(fd, &status));
	ASSERT_EQ(status.st_mode, S_IFCHR | 0666);
	ASSERT_EQ(status.st_size, 0);
	close(fd);
}

/* Nothing can be sent to or from it: splice, sendfile, copy_file_range EINVAL. */
static void no_splice(void)
{
	int fd = device(O_RDWR), file, ends[2];

	file = memfd_create("misuse", MFD_CLOEXEC);
	ASSERT_OK(file);
	ASSERT_OK(ftruncate(file, PAGE));
	ASSERT_OK(pipe(ends));
	ASSERT_EQ(write(ends[1], "text", 4), 4);
	ASSERT_ERRNO(splice(fd, NULL, ends[1], NULL, PAGE, 0), EINVAL);
	ASSERT_ERRNO(splice(ends[0], NULL, fd, NULL, 4, 0), EINVAL);
	ASSERT_ERRNO(sendfile(fd, file, NULL, PAGE), EINVAL);
	ASSERT_ERRNO(sendfile(file, fd, NULL, PAGE), EINVAL);
	ASSERT_ERRNO(copy_file_range(fd, NULL, file, NULL, PAGE, 0), EINVAL);
	ASSERT_ERRNO(copy_file_range(file, NULL, fd, NULL, PAGE, 0), EINVAL);
	close(ends[0]);
	close(ends[1]);
	close(file);
	close(fd);
}

/* It never makes anyone wait: always ready for poll and select, not a thing for epoll (EPERM). */
static void no_waiting(void)
{
	int fd = device(O_RDWR), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct pollfd set = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP };
	struct epoll_event event = { .events = EPOLLIN };
	struct timeval time = { .tv_sec = 30 };
	fd_set reading, writing;

	ASSERT_EQ(poll(&set, 1, -1), 1);
	ASSERT_EQ(set.revents, POLLIN | POLLOUT);
	FD_ZERO(&reading);
	FD_ZERO(&writing);
	FD_SET(fd, &reading);
	FD_SET(fd, &writing);
	ASSERT_EQ(select(fd + 1, &reading, &writing, NULL, &time), 2);
	ASSERT_OK(epoll);
	ASSERT_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), EPERM);
	close(epoll);
	close(fd);
}

/* Flags of the descriptor that mean nothing to the device do no harm; O_DIRECT is refused. */
static void flags(void)
{
	int fd = device(O_RDWR | O_NONBLOCK | O_SYNC | O_APPEND | O_TRUNC | O_NOCTTY), copy;
	char *mapping;

	ASSERT_OK(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND | O_NOATIME));
	ASSERT_ERRNO(fcntl(fd, F_SETFL, O_DIRECT), EINVAL);
	ASSERT_ERRNO(open(PAGING_DEVICE_PATH, O_RDWR | O_DIRECT), EINVAL);
	ASSERT_ERRNO(open(PAGING_DEVICE_PATH, O_RDONLY | O_DIRECTORY), ENOTDIR);
	ASSERT_ERRNO(open(PAGING_DEVICE_PATH, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	ASSERT_OK(flock(fd, LOCK_EX | LOCK_NB));
	ASSERT_OK(flock(fd, LOCK_UN));
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	ASSERT_OK(copy);
	close(fd);
	mapping = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0);
	ASSERT_OK(mapping);
	close(copy);
	fill_page(mapping, 1);
	ASSERT(page_holds(mapping, 1));
	ASSERT_OK(munmap(mapping, PAGE));
	/* A mere path cannot be mapped. */
	fd = open(PAGING_DEVICE_PATH, O_PATH | O_CLOEXEC);
	ASSERT_OK(fd);
	ASSERT_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0), EBADF);
	close(fd);
}

/* The random case. */
struct random {
	unsigned int state;
	char *arena;
	int fds[NR_FDS];
	int file, ends[2];
	unsigned long calls, worked;
};

static unsigned int below(struct random *random, unsigned int limit)
{
	return next_random(&random->state) % limit;
}

static char *page_address(struct random *random)
{
	return random->arena + below(random, ARENA_PAGES - MAX_PAGES) * PAGE;
}

/* Mostly the beginning of a page in the arena. */
static char *address(struct random *random)
{
	char *page = page_address(random);

	return below(random, 8) ? page : page + below(random, PAGE);
}

static size_t length(struct random *random)
{
	size_t bytes = (1 + below(random, MAX_PAGES / 2)) * PAGE;

	switch (below(random, 12)) {
	case 0:
		return 0;
	case 1:
		return bytes + below(random, PAGE);
	case 2:
		return 1;
	default:
		return bytes;
	}
}

/* Valid ones and others. */
static int protection(struct random *random)
{
	static const int all[] = {
		PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
		PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC, PROT_READ | PROT_WRITE,
		PROT_READ | PROT_GROWSDOWN, PROT_READ | PROT_GROWSUP, 0x100,
	};

	return all[below(random, ARRAY_SIZE(all))];
}

/* A pointer for the kernel to read or write; never one to memory that the program needs. */
static void *pointer(struct random *random)
{
	switch (below(random, 6)) {
	case 0:
		return NULL;
	case 1:
		return (void *)-(1UL + below(random, 65536));
	case 2:
		return (void *)(unsigned long)below(random, 65536);
	default:
		return address(random);
	}
}

static long random_mmap(struct random *random, int fd)
{
	static const int types[] = {
		MAP_SHARED, MAP_SHARED, MAP_SHARED, MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE,
		0,
	};
	static const int extras[] = {
		0, 0, 0, 0, MAP_POPULATE, MAP_LOCKED, MAP_NORESERVE, MAP_GROWSDOWN, MAP_NONBLOCK,
		MAP_STACK, MAP_HUGETLB, MAP_SYNC, MAP_POPULATE | MAP_LOCKED, MAP_ANONYMOUS,
	};
	int mmap_flags = types[below(random, ARRAY_SIZE(types))] |
			 extras[below(random, ARRAY_SIZE(extras))] | MAP_FIXED;
	/* Pages; some make the end of the range overflow. */
	unsigned long offset = below(random, 4) ? below(random, 1000) : -1UL - below(random, 40);

	return syscall(SYS_mmap2, address(random), length(random), protection(random), mmap_flags,
		       fd, offset);
}

static long random_mremap(struct random *random)
{
	size_t old = length(random), new = below(random, 4) ? old : length(random);

	/* Always to a place in the arena. */
	return syscall(SYS_mremap, address(random), old, new,
		       MREMAP_MAYMOVE | MREMAP_FIXED | (below(random, 8) ? 0 : 4 /* DONTUNMAP */),
		       address(random));
}

static long random_memory_call(struct random *random, int fd)
{
	static unsigned char vector[MAX_PAGES];
	static const int advices[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE,
		MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_HUGEPAGE,
		MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_COLD,
		MADV_PAGEOUT, 22 /* POPULATE_READ */, 23 /* POPULATE_WRITE */, 24, 25, 99,
	};
	char *start = address(random);
	size_t bytes = length(random);

	switch (below(random, 14)) {
	case 0:
	case 1:
	case 2:
	case 3:
		return random_mmap(random, fd);
	case 4:
		return munmap(start, bytes);
	case 5:
	case 6:
		return random_mremap(random);
	case 7:
		return mprotect(start, bytes, protection(random));
	case 8:
	case 9:
		return madvise(start, bytes, advices[below(random, ARRAY_SIZE(advices))]);
	case 10:
		return msync(start, bytes, below(random, 8));
	case 11:
		return below(random, 2) ? mlock(start, bytes) : munlock(start, bytes);
	case 12:
		return mincore(start, bytes > sizeof(vector) * PAGE ? PAGE : bytes, vector);
	default:
		return syscall(SYS_remap_file_pages, start, bytes, 0, below(random, 64), 0);
	}
}

static long random_file_call(struct random *random, int fd)
{
	static const int commands[] = {
		F_GETFD, F_GETFL, F_GETOWN, F_GETLEASE, F_GETPIPE_SZ, F_GET_SEALS,
	};
	size_t bytes = length(random);
	struct iovec vector = { .iov_base = pointer(random), .iov_len = bytes };
	struct pollfd poll_set = { .fd = fd, .events = below(random, 0x10000) };

	switch (below(random, 18)) {
	case 0:
		return read(fd, pointer(random), bytes);
	case 1:
		return write(fd, pointer(random), bytes);
	case 2:
		return pread(fd, pointer(random), bytes, below(random, 100000));
	case 3:
		return pwrite(fd, pointer(random), bytes, below(random, 100000));
	case 4:
		return readv(fd, &vector, 1);
	case 5:
		return lseek(fd, below(random, 100000), below(random, 6));
	case 6:
		return ftruncate(fd, below(random, 100000));
	case 7:
		return fallocate(fd, below(random, 0x80), below(random, 100000), bytes);
	case 8:
		/* Not those of the VFS that would freeze the file system, or change descriptors. */
		return ioctl(fd, _IOC(below(random, 4), 'p', below(random, 256),
				      below(random, _IOC_SIZEMASK)), pointer(random));
	case 9:
		return fsync(fd);
	case 10:
		return poll(&poll_set, 1, 0);
	case 11:
		return fcntl(fd, commands[below(random, ARRAY_SIZE(commands))]);
	case 12:
		return fcntl(fd, F_SETFL, below(random, 0x1000000) & ~O_ASYNC);
	case 13:
		return splice(fd, NULL, random->ends[1], NULL, bytes, SPLICE_F_NONBLOCK);
	case 14:
		return sendfile(random->file, fd, NULL, bytes);
	case 15:
		/* The kernel touches the mappings itself. */
		return pread(random->file, address(random), bytes, 0);
	case 16:
		/*
		 * Whole pages: on 32-bit ARM a write() of which only the last few bytes before an
		 * unmapped page are left never ends (arm_copy_from_user() copies none of them, and
		 * generic_perform_write() tries again), wherever the data comes from.
		 */
		return pwrite(random->file, page_address(random), bytes & ~(PAGE - 1), 0);
	default:
		return fcntl(fd, F_GETLK, pointer(random));
	}
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void exit_at_once(void *argument)
{
	(void)argument;
}

static void random_calls(void *argument)
{
	struct random *random = argument;
	double end = now_s() + (ktap_options.seconds + 9) / 10;

	while (now_s() < end) {
		unsigned int i;

		for (i = 0; i < 64; i++) {
			int which = below(random, NR_FDS), fd = random->fds[which];
			long result;

			if (below(random, 256) == 0) {
				/* Mappings outlive the descriptor; a child has copies of both. */
				in_child(exit_at_once, NULL);
				close(fd);
				random->fds[which] = device(below(random, 2) ? O_RDWR : O_RDONLY);
				continue;
			}
			result = below(random, 3) ? random_memory_call(random, fd) :
						    random_file_call(random, fd);
			random->calls++;
			random->worked += result != -1;
		}
	}
	/* Not only errors. */
	if (random->worked < random->calls / 20)
		FAIL("seed %lu: only %lu of %lu calls succeeded", ktap_options.seed,
		     random->worked, random->calls);
	note("seed %lu: %lu calls, %lu of them succeeded", ktap_options.seed, random->calls,
	     random->worked);
	ASSERT_OK(munmap(random->arena, ARENA_PAGES * PAGE));
	ASSERT_EQ(counter("pages_live"), 0);
	ASSERT_EQ(counter("mappings"), 0);
}

/* Thousands of random calls on descriptors and mappings fail or succeed, and leave nothing. */
static void random_case(void)
{
	struct random random = { .state = ktap_options.seed * 2654435761U };
	unsigned int i;

	random.arena = mmap(NULL, ARENA_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	ASSERT_OK(random.arena);
	for (i = 0; i < NR_FDS; i++)
		random.fds[i] = device(i ? O_RDWR : O_RDONLY);
	random.file = memfd_create("misuse", MFD_CLOEXEC);
	ASSERT_OK(random.file);
	ASSERT_OK(ftruncate(random.file, MAX_PAGES * PAGE));
	ASSERT_OK(pipe2(random.ends, O_NONBLOCK | O_CLOEXEC));
	in_child(random_calls, &random);
}

static const struct ktap_case cases[] = {
	{ .name = "no_read", .run = no_read },
	{ .name = "no_write", .run = no_write },
	{ .name = "no_seek", .run = no_seek },
	{ .name = "no_ioctl", .run = no_ioctl },
	{ .name = "no_storage", .run = no_storage },
	{ .name = "no_splice", .run = no_splice },
	{ .name = "no_waiting", .run = no_waiting },
	{ .name = "flags", .run = flags },
	{ .name = "random", .run = random_case, .timed = true },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

// SPDX-License-Identifier: GPL-2.0-only
/* What must hold of /dev/ring, whatever its capacity. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ktap.h>
#include <system.h>

static int ring_device(int flags)
{
	int fd = open("/dev/ring", O_RDWR | O_CLOEXEC | flags);

	ASSERT_OK(fd);
	return fd;
}

static size_t ring_capacity(void)
{
	return read_number("/sys/module/ring/parameters/capacity");
}

/* Takes out what an earlier case may have left. */
static void drain(int fd)
{
	char bytes[256];

	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	ASSERT_EQ(errno, EAGAIN);
}

/* What is written comes out in the same order, also where the ring begins anew. */
static void order(void)
{
	int fd = ring_device(O_NONBLOCK);
	unsigned char sent = 0, expected = 0, byte;

	drain(fd);
	for (size_t i = 0; i < 3 * ring_capacity(); i++) {
		ASSERT_EQ(write(fd, &sent, 1), 1);
		sent++;
		/* Two bytes stay behind, so that reader and writer are at different places. */
		if (i < 2)
			continue;
		ASSERT_EQ(read(fd, &byte, 1), 1);
		ASSERT_EQ(byte, expected);
		expected++;
	}
}

/* A full ring takes nothing, and an empty one gives nothing, without a wait where that is asked. */
static void bounds(void)
{
	int fd = ring_device(O_NONBLOCK);
	char byte = 0;

	drain(fd);
	for (size_t i = 0; i < ring_capacity() - 1; i++)
		ASSERT_EQ(write(fd, &byte, 1), 1);
	ASSERT_ERRNO(write(fd, &byte, 1), EAGAIN);
	drain(fd);
	ASSERT_ERRNO(read(fd, &byte, 1), EAGAIN);
}

static void write_later(void *unused)
{
	(void)unused;
	usleep(100000);
	ASSERT_EQ(write(ring_device(0), "x", 1), 1);
}

/* A reader sleeps until there is something, and then has it. */
static void reader_is_woken(void)
{
	char byte = 0;
	pid_t child;

	drain(ring_device(O_NONBLOCK));
	child = start_child(write_later, NULL);
	ASSERT_EQ(read(ring_device(0), &byte, 1), 1);
	ASSERT_EQ(byte, 'x');
	expect_exit(child);
}

/* What cannot be copied is an error, and stays in the ring. */
static void bad_buffer(void)
{
	int fd = ring_device(O_NONBLOCK);
	char *nowhere = reserve_pages(1);
	char byte = 0;

	drain(fd);
	ASSERT_ERRNO(write(fd, nowhere, 1), EFAULT);
	ASSERT_EQ(write(fd, "y", 1), 1);
	ASSERT_ERRNO(read(fd, nowhere, 1), EFAULT);
	ASSERT_EQ(read(fd, &byte, 1), 1);
	ASSERT_EQ(byte, 'y');
}

static const struct ktap_case cases[] = {
	{ .name = "order", .run = order },
	{ .name = "bounds", .run = bounds },
	{ .name = "reader_is_woken", .run = reader_is_woken },
	{ .name = "bad_buffer", .run = bad_buffer },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

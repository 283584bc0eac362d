// SPDX-License-Identifier: GPL-2.0-only
/* What must hold of reading /dev/hello, however the module is loaded. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ktap.h>
#include <system.h>

static int hello_device(void)
{
	int fd = open("/dev/hello", O_RDONLY | O_CLOEXEC);

	ASSERT_OK(fd);
	return fd;
}

/* As many zeros come as were asked for, and nothing is written behind them. */
static void zeros(void)
{
	char page[PAGE];

	memset(page, 1, sizeof(page));
	ASSERT_EQ(read(hello_device(), page, 100), 100);
	for (size_t i = 0; i < sizeof(page); i++)
		ASSERT_EQ(page[i], i >= 100);
}

/* A buffer that cannot be written to is an error of the program's, and harms nobody else. */
static void bad_buffer(void)
{
	char *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_OK(nowhere);
	ASSERT_ERRNO(read(hello_device(), nowhere, PAGE), EFAULT);
}

static const struct ktap_case cases[] = {
	{ .name = "zeros", .run = zeros },
	{ .name = "bad_buffer", .run = bad_buffer },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}

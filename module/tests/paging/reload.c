// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/ktap.h"
#include "reload.h"

static const char * const names[] = {
	"demand_paging", "log", "zero", "placement", "colours", "seed",
};

static char found[256];

bool loaded(void)
{
	return access(MODULE_FOLDER, F_OK) == 0;
}

int load(const char *parameters)
{
	int fd = open(MODULE_PATH, O_RDONLY | O_CLOEXEC);
	int result, error;

	if (fd < 0)
		FAIL(MODULE_PATH ": %s", strerror(errno));
	result = syscall(SYS_finit_module, fd, parameters, 0);
	error = errno;
	close(fd);
	errno = error;
	return result;
}

int unload(void)
{
	return syscall(SYS_delete_module, MODULE_NAME, O_NONBLOCK);
}

const char *parameter(const char *name)
{
	static char value[64];
	char path[128];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), MODULE_FOLDER "/parameters/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL("%s: %s", path, strerror(errno));
	length = read(fd, value, sizeof(value) - 1);
	close(fd);
	if (length <= 0)
		FAIL("%s: cannot be read", path);
	value[length] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return value;
}

void parameters_now(char *text, size_t size)
{
	size_t used = 0, i;

	text[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		used += snprintf(text + used, size - used, "%s%s=%s", i ? " " : "", names[i],
				 parameter(names[i]));
		if (used >= size)
			FAIL("the module's parameters are too long");
	}
}

static bool loaded_as_found(void)
{
	char now[sizeof(found)];

	if (!loaded())
		return false;
	parameters_now(now, sizeof(now));
	return !strcmp(now, found);
}

void reload_with(const char *parameters)
{
	char all[2 * sizeof(found)];

	/* Of two values of a parameter the kernel takes the last. */
	snprintf(all, sizeof(all), "%s %s", found, parameters);
	if (loaded())
		ASSERT_OK(unload());
	ASSERT_OK(load(all));
}

void with_module_restored(void (*body)(void *argument))
{
	int status;
	pid_t child;

	parameters_now(found, sizeof(found));
	child = start_child(body, NULL);
	if (waitpid(child, &status, 0) != child)
		FAIL("waitpid: %s", strerror(errno));
	if (!loaded_as_found()) {
		unload();
		load(found);
	}
	if (!WIFEXITED(status))
		FAIL("a child was killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
	if (!loaded_as_found())
		FAIL("the module cannot be loaded again");
}

// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "system.h"

#define DEFAULT_TIMEOUT_S 60

/* How long a process that was killed may take to go. */
#define GRACE_S 60

/* Exit statuses of a case; kselftest has the same. */
#define STATUS_FAILED 1
#define STATUS_SKIPPED 4

/* TAINT_OOT_MODULE: the only one that a module built out of the tree must give. */
#define TAINT_ALLOWED BIT(12)

enum verdict { PASSED, FAILED, SKIPPED };

struct ktap_options ktap_options = {
	.seed = 1,
	.seconds = 10,
	.variant = "",
	.parameters = "",
};

/* The files that --counter names. */
#define MAX_COUNTERS 32
static const char *counters[MAX_COUNTERS];
static size_t nr_counters;

/* Why a case was skipped; memory that the case and the runner share. */
static char *reason;
#define REASON_SIZE 256

static void print_line(const char *text)
{
	/* One write, so that the lines of two processes do not mix. */
	char line[1024];
	int length = snprintf(line, sizeof(line), "# %s\n", text);

	if (length >= (int)sizeof(line))
		length = sizeof(line) - 1;
	if (write(STDOUT_FILENO, line, length) < 0)
		_exit(STATUS_FAILED);
}

void note(const char *format, ...)
{
	char text[900];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	print_line(text);
}

void fail(const char *file, int line, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	char text[900];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	note("%s:%d: %s", base ? base + 1 : file, line, text);
	_exit(STATUS_FAILED);
}

void skip(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, REASON_SIZE, format, arguments);
	va_end(arguments);
	_exit(STATUS_SKIPPED);
}

static void sleep_ms(long ms)
{
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* A process that not even SIGKILL ends: nothing more can be said here. */
[[gnu::noreturn]]
static void give_up(void)
{
	printf("Bail out! a process cannot be killed\n");
	exit(1);
}

/* Waits for a process; kills its group at the deadline. Returns whether that was needed. */
static bool wait_or_kill(pid_t child, unsigned int timeout_s, int *status)
{
	double deadline = now_s() + timeout_s;
	bool late = false;

	while (waitpid(child, status, WNOHANG) == 0) {
		if (now_s() > deadline) {
			if (late)
				give_up();
			late = true;
			deadline = now_s() + GRACE_S;
			kill(-child, SIGKILL);
			kill(child, SIGKILL);
		}
		sleep_ms(2);
	}
	return late;
}

static void kill_rest(pid_t group)
{
	double deadline = now_s() + GRACE_S;

	kill(-group, SIGKILL);
	/* The runner is the subreaper: what the case left behind is its child now. */
	while (waitpid(-1, NULL, WNOHANG) >= 0) {
		if (now_s() > deadline)
			give_up();
		sleep_ms(2);
	}
}

static unsigned long taint_now(void)
{
	long taint = 0;

	find_number("/proc/sys/kernel/tainted", &taint);
	return taint;
}

/* A file of the module's folder in sysfs; whether that is there, if a module is named at all. */
static bool module_file(char *path, size_t size, const char *file)
{
	snprintf(path, size, "/sys/module/%s%s", ktap_options.module, file);
	return access(path, F_OK) == 0;
}

static bool module_idle(void)
{
	char path[128];
	long users;

	if (!ktap_options.module)
		return true;
	if (!module_file(path, sizeof(path), "")) {
		note("the module is not loaded any more");
		return false;
	}
	/* A kernel that cannot unload modules does not count their users. */
	if (!module_file(path, sizeof(path), "/refcnt"))
		return true;
	if (!find_number(path, &users) || users) {
		note("afterwards the module is still in use");
		return false;
	}
	return true;
}

static bool counter_is_zero(const char *path)
{
	const char *name = strrchr(path, '/');
	long left;

	name = name ? name + 1 : path;
	if (!find_number(path, &left)) {
		note("afterwards %s cannot be read", path);
		return false;
	}
	if (left)
		note("afterwards %s is %ld, expected 0", name, left);
	return !left;
}

/* What must hold when nothing of a case is left; says what does not. */
static bool nothing_left(unsigned long taint_before)
{
	unsigned long taint = taint_now();
	bool clean = module_idle();
	size_t i;

	for (i = 0; i < nr_counters; i++)
		clean &= counter_is_zero(counters[i]);
	if (taint & ~taint_before & ~TAINT_ALLOWED) {
		note("the kernel has become tainted: %#lx", taint);
		clean = false;
	}
	return clean;
}

static unsigned int deadline_s(const struct ktap_case *test)
{
	unsigned int own = test->timeout_s ? test->timeout_s : DEFAULT_TIMEOUT_S;

	return test->timed ? own + ktap_options.seconds : own;
}

/* Runs a case and prints what came of it, but for the result; returns that. */
static enum verdict run_case(const char *program, const struct ktap_case *test, unsigned int id)
{
	unsigned int timeout_s = deadline_s(test);
	unsigned long taint = taint_now();
	double start = now_s();
	int status = 0;
	pid_t child;
	bool late;

	reason[0] = '\0';
	fflush(NULL);
	child = fork();
	if (child < 0) {
		note("fork: %s", strerror(errno));
		return FAILED;
	}
	if (!child) {
		char comm[16];

		setpgid(0, 0);
		snprintf(comm, sizeof(comm), "%.10s.%u", program, id);
		prctl(PR_SET_NAME, comm);
		test->run();
		fflush(NULL);
		_exit(0);
	}
	setpgid(child, child);
	late = wait_or_kill(child, timeout_s, &status);
	kill_rest(child);

	if (late)
		note("not done within %u s", timeout_s);
	else if (WIFSIGNALED(status))
		note("killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	late |= !nothing_left(taint);
	note("time %.3f s", now_s() - start);
	if (late || !WIFEXITED(status))
		return FAILED;
	if (WEXITSTATUS(status) == STATUS_SKIPPED)
		return SKIPPED;
	return WEXITSTATUS(status) ? FAILED : PASSED;
}

static enum verdict report_case(const char *program, const struct ktap_case *test,
				unsigned int id, unsigned int number)
{
	enum verdict verdict = run_case(program, test, id);

	if (verdict == SKIPPED)
		printf("ok %u %s # SKIP %s\n", number, test->name, reason);
	else
		printf("%s %u %s\n", verdict == PASSED ? "ok" : "not ok", number, test->name);
	return verdict;
}

static unsigned long parse_number(const char *program, const char *option, const char *text)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text ? text : "", &end, 10);
	if (errno || !text || end == text || *end || *text == '-') {
		fprintf(stderr, "%s: %s needs a number\n", program, option);
		exit(2);
	}
	return value;
}

static const char *parse_text(const char *program, const char *option, const char *text)
{
	if (!text || !*text) {
		fprintf(stderr, "%s: %s needs a value\n", program, option);
		exit(2);
	}
	return text;
}

static void parse_counter(const char *program, const char *text)
{
	if (nr_counters == MAX_COUNTERS) {
		fprintf(stderr, "%s: more than %d counters\n", program, MAX_COUNTERS);
		exit(2);
	}
	counters[nr_counters++] = parse_text(program, "--counter", text);
}

static const struct ktap_case *find_case(const struct ktap_case *cases, size_t count,
					 const char *name)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (!strcmp(cases[i].name, name))
			return &cases[i];
	}
	return NULL;
}

int ktap_main(int argc, char **argv, const struct ktap_case *cases, size_t count)
{
	const char *program = strrchr(argv[0], '/');
	unsigned int wanted, number;
	bool passed = true;
	char path[128];
	int i;

	program = program ? program + 1 : argv[0];
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "--list")) {
			size_t each;

			for (each = 0; each < count; each++)
				printf("%s %u\n", cases[each].name, deadline_s(&cases[each]));
			return 0;
		} else if (!strcmp(argv[i], "--seed")) {
			ktap_options.seed = parse_number(program, "--seed", argv[i + 1]);
			i++;
		} else if (!strcmp(argv[i], "--seconds")) {
			ktap_options.seconds = parse_number(program, "--seconds", argv[i + 1]);
			i++;
		} else if (!strcmp(argv[i], "--variant")) {
			ktap_options.variant = parse_text(program, "--variant", argv[i + 1]);
			i++;
		} else if (!strcmp(argv[i], "--module")) {
			ktap_options.module = parse_text(program, "--module", argv[i + 1]);
			i++;
		} else if (!strcmp(argv[i], "--parameters")) {
			ktap_options.parameters = parse_text(program, "--parameters", argv[i + 1]);
			i++;
		} else if (!strcmp(argv[i], "--counter")) {
			parse_counter(program, argv[i + 1]);
			i++;
		} else {
			fprintf(stderr, "%s: unknown option %s\n", program, argv[i]);
			return 2;
		}
	}
	argc -= i;
	argv += i;
	for (i = 0; i < argc; i++) {
		if (!find_case(cases, count, argv[i])) {
			fprintf(stderr, "%s: there is no case %s (see --list)\n", program, argv[i]);
			return 2;
		}
	}

	reason = shared_memory(REASON_SIZE);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setvbuf(stdout, NULL, _IOLBF, 0);

	wanted = argc ? (unsigned int)argc : (unsigned int)count;
	printf("KTAP version 1\n1..%u\n", wanted);
	if (ktap_options.module && !module_file(path, sizeof(path), "")) {
		printf("Bail out! the module %s is not loaded\n", ktap_options.module);
		return 1;
	}
	for (number = 1; number <= wanted; number++) {
		const struct ktap_case *test = &cases[number - 1];

		if (argc)
			test = find_case(cases, count, argv[number - 1]);
		if (report_case(program, test, test - cases + 1, number) == FAILED)
			passed = false;
	}
	return passed ? 0 : 1;
}

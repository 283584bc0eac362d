/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small runner for test programs that print KTAP (Documentation/dev-tools/ktap.rst of Linux).
 *
 *   PROGRAM [--seed N] [--seconds N] [--variant NAME] [--module NAME] [--parameters TEXT]
 *           [--counter FILE]... [--list | CASE...]
 *
 * runs the named cases, or all; --list prints each case's name and deadline in seconds instead.
 * It knows of no module but what the options say.
 * Each case is a process of its own, in a process group of its own, named "<program>.<number>"
 * (which a kernel report shows as comm). A case ends by returning (passed), by a failed ASSERT or
 * skip(), by a signal, or at its deadline. When it and all processes that it left have gone, the
 * module must be loaded and not in use, the number in each counter's file must be 0, and the kernel
 * must have no new taint; otherwise the case has failed. What it said itself comes first.
 *
 * Exit status: 0 if no case failed, 1 if one did, 2 for a bad command line.
 */
#ifndef KTAP_H
#define KTAP_H

#include <stdbool.h>
#include <stddef.h>

/* As in the kernel. */
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define BIT(number) (1UL << (number))

struct ktap_case {
	const char *name;
	void (*run)(void);
	unsigned int timeout_s;		/* 0 for the default */
	bool timed;			/* runs for ktap_options.seconds, on top of timeout_s */
};

/* What the command line asked for; the same in every case of a program. */
struct ktap_options {
	unsigned long seed;		/* default 1 */
	unsigned int seconds;		/* default 10; for cases that run for a set time */
	const char *variant;		/* what the suite calls how it is loaded, or "" */
	const char *module;		/* the module under test, or NULL */
	const char *parameters;		/* with which it was loaded, or "" */
};

extern struct ktap_options ktap_options;

/* Runs what the command line names; returns the program's exit status. */
int ktap_main(int argc, char **argv, const struct ktap_case *cases, size_t count);

/* Prints a diagnostic line ("# ..."). */
[[gnu::format(printf, 1, 2)]]
void note(const char *format, ...);

/* Ends the calling process: the case has failed, or cannot be checked here. */
[[gnu::noreturn, gnu::format(printf, 3, 4)]]
void fail(const char *file, int line, const char *format, ...);
[[gnu::noreturn, gnu::format(printf, 1, 2)]]
void skip(const char *format, ...);

#define FAIL(...) fail(__FILE__, __LINE__, __VA_ARGS__)

#define ASSERT(condition)						\
	do {								\
		if (!(condition))					\
			FAIL("expected %s", #condition);		\
	} while (0)

/* Two integers; both are shown if they differ. */
#define ASSERT_EQ(actual, wanted)					\
	do {								\
		long long actual_ = (long long)(actual);		\
		long long wanted_ = (long long)(wanted);		\
									\
		if (actual_ != wanted_)					\
			FAIL("%s is %lld, expected %s, which is %lld",	\
			     #actual, actual_, #wanted, wanted_);	\
	} while (0)

/* A call that must fail with -1 and this errno. */
#define ASSERT_ERRNO(call, error)					\
	do {								\
		errno = 0;						\
		if ((long)(call) != -1)					\
			FAIL("%s succeeded, expected %s", #call, #error); \
		if (errno != (error))					\
			FAIL("%s: %s, expected %s", #call,		\
			     strerror(errno), #error);			\
	} while (0)

/* A call that must not return -1. */
#define ASSERT_OK(call)							\
	do {								\
		if ((long)(call) == -1)					\
			FAIL("%s: %s", #call, strerror(errno));		\
	} while (0)

#endif /* KTAP_H */

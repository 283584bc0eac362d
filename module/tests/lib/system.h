/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What programs that test a module have in common, whatever the module is. All of it ends the case
 * by FAIL when the system itself does not work.
 */
#ifndef TESTS_SYSTEM_H
#define TESTS_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* 32-bit ARM has pages of 4 KiB only. */
#define PAGE 4096UL

/* The number in a file of /proc or /sys. */
long read_number(const char *path);

/* The same for a file that need not be there or hold one; returns whether it does. */
bool find_number(const char *path, long *number);

/* Writes text to a file of /proc or /sys; returns 0, or -1 with errno. */
int write_text(const char *path, const char *text);

/* Address space that nothing else is put into by chance; any access raises SIGSEGV. */
char *reserve_pages(size_t pages);

/* Zeroed memory that is shared with children (not of a device). */
void *shared_memory(size_t bytes);

/*
 * Reads or writes one byte; returns 0, or the signal (SIGSEGV, SIGBUS) that it raised. Not for two
 * threads at once: the handlers are the process's.
 */
int try_read(const char *address);
int try_write(char *address, char value);

/* Fills a page with a pattern that follows from the tag; says whether a page holds it. */
void fill_page(char *page, unsigned int tag);
bool page_holds(const char *page, unsigned int tag);
bool page_is_zero(const char *page);

/* The same for consecutive pages, the first of which has the tag "first", the next one more... */
void fill_pages(char *address, unsigned int first, size_t pages);
bool pages_hold(const char *address, unsigned int first, size_t pages);
bool pages_are_zero(const char *address, size_t pages);

/* Runs function(argument) in a child; the case fails unless it returns normally. */
void in_child(void (*function)(void *argument), void *argument);

/* Starts such a child, and waits for one. */
pid_t start_child(void (*function)(void *argument), void *argument);
void expect_exit(pid_t child);

/*
 * The kernel log from now on; log_next() gives its next line without prefix and newline, or false
 * at the end. Lines that the kernel has dropped before they were read fail the case.
 */
int log_follow(void);
bool log_next(int log, char *line, size_t size);

/* Whether a file system without a device (tracefs, debugfs) is mounted there; mounts it if not. */
bool mounted(const char *type, const char *target);

/* Pages that each CPU keeps for its next use, of all zones. */
long kept_pages(void);

/* Later, when memory has run out, the process's own memory must not need any. */
void touch_own_memory(void);

/* A random number; the state begins as any number (xorshift32, Marsaglia 2003). */
unsigned int next_random(unsigned int *state);

#endif /* TESTS_SYSTEM_H */

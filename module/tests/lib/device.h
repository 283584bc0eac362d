/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs that test the module have in common. All of it ends the case by FAIL when the
 * system itself does not work.
 */
#ifndef TESTS_DEVICE_H
#define TESTS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../../paging.h"

#define MODULE_NAME "kmod_paging"
#define MODULE_PATH "/lib/modules/" MODULE_NAME ".ko"

/* 32-bit ARM has pages of 4 KiB only. */
#define PAGE 4096UL

/* The number in a file of /proc or /sys. */
long read_number(const char *path);

/* Writes text to a file of /proc or /sys; returns 0, or -1 with errno. */
int write_text(const char *path, const char *text);

/* A counter of the module by its name in sysfs, such as "pages_live". */
long counter(const char *name);

/* Whether the module was loaded with demand_paging=1. */
bool demand_paging(void);

/* The one of two numbers that holds in the mode that the module is in. */
long by_mode(long demand_paging_number, long pre_paging_number);

/* A descriptor of the device; flags as for open(2). */
int device(int flags);

/* A new shared mapping of the device; the descriptor is closed again. */
char *map_pages(size_t pages, int prot);

/* The same, in the place of whatever is at the address. */
char *map_pages_at(char *address, size_t pages, int prot);

/* Address space that nothing else is put into by chance; any access raises SIGSEGV. */
char *reserve_pages(size_t pages);

/* Zeroed memory that is shared with children (not of the device). */
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

/*
 * Records the module's trace events from now on: mmap, fault and close, or the pages that are
 * allocated; skips the case if there is no tracefs.
 * trace_read() gives what has been recorded so far, each event as a line "name: fields".
 */
void trace_start(void);
void trace_pages_start(void);
void trace_read(char *text, size_t size);
void trace_stop(void);

/* A random number; the state begins as any number (xorshift32, Marsaglia 2003). */
unsigned int next_random(unsigned int *state);

#endif /* TESTS_DEVICE_H */

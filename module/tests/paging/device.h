/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs that test kmod_paging have in common. All of it ends the case by FAIL when the
 * system itself does not work.
 */
#ifndef TESTS_DEVICE_H
#define TESTS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "../../paging.h"
#include "../lib/system.h"

#define MODULE_NAME "kmod_paging"
#define MODULE_PATH "/lib/modules/" MODULE_NAME ".ko"

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

/*
 * Records the module's trace events from now on: mmap, fault and close, or the pages that are
 * allocated; skips the case if there is no tracefs.
 * trace_read() gives what has been recorded so far, each event as a line "name: fields".
 */
void trace_start(void);
void trace_pages_start(void);
void trace_read(char *text, size_t size);
void trace_stop(void);

#endif /* TESTS_DEVICE_H */

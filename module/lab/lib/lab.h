/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of the paging lab have in common: the device, and what user space can see of
 * its pages and of the kernel's memory. Nothing of a module is known but its device and, by the
 * suite's options, its name. All of it ends the case by FAIL when the system itself does not work.
 */
#ifndef LAB_H
#define LAB_H

#include <stdbool.h>
#include <stddef.h>

#include "../../tests/lib/ktap.h"
#include "../../tests/lib/system.h"

#define DEVICE_PATH "/dev/paging"
#define READ_WRITE (PROT_READ | PROT_WRITE)

/*
 * Keeps this process and its children on one CPU. Each CPU has pages that were freed on it for its
 * next use: what somebody still uses would be given away too late for a case to see.
 */
void use_one_cpu(void);

/* A descriptor of the device, open for reading and writing. */
int device(void);

/* A new shared mapping of the device that can be written; the descriptor is closed again. */
char *map_pages(size_t pages);

/* The same; NULL, with errno, if the module refuses it. */
char *try_map(size_t pages);

/* Unmaps pages; the case fails if that does. */
void unmap_pages(char *address, size_t pages);

/* Reads a byte of each page, so that all that are not there yet are faulted in. */
void touch_pages(const char *address, size_t pages);

/*
 * How many faults one read of a page takes: 1 if it has no entry in the page table yet, else 0. (A
 * write may take one more, with which 32-bit ARM marks a page as changed. mincore(2) and the page
 * map do not look into mappings of page frames, VM_PFNMAP.)
 */
long faults_of_read(const char *address);

/* Whether the module's file declares a parameter of this name. */
bool module_has_parameter(const char *name);

/*
 * Gives memory away that was taken: a mapping of the device is filled and unmapped, and so is
 * memory of a process. Pages that were freed while somebody still uses them get other contents.
 */
void reuse_freed_memory(void);

/* Fills all but a tenth of free memory in a child, which then ends. */
void dirty_free_memory(void);

#endif /* LAB_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that the kernel has given away and that nobody gives back, as user space can see it.
 *
 * /proc/meminfo says what most pages are used for: processes, files, page tables, stacks, slabs,
 * vmalloc. A page that a driver has allocated for itself is none of them, so that the rest of the
 * sum is what drivers hold, and the same number again and again as long as they do nothing: caches
 * that grow or shrink are not in it.
 */
#ifndef LAB_MEMORY_H
#define LAB_MEMORY_H

#include <stddef.h>

/* Pages that are free, those included that each CPU keeps for its next use. */
size_t free_pages(void);

/* In pages; `slab` is what cannot be reclaimed. */
struct memory {
	long pages;	/* of nobody that is known */
	long slab;
	long vmalloc;
};

/* Now, after caches and the counters of the CPUs were flushed. */
struct memory memory_now(void);

/*
 * Runs round(argument) so many times, some of them before it begins to count, and fails the case if
 * memory is lost that grows with the rounds.
 */
void expect_no_growth(void (*round)(void *argument), void *argument, unsigned int rounds);

/* Fails the case if memory was lost since then, but for noise; what is freed late has a second. */
void expect_returned(const struct memory *before);

#endif /* LAB_MEMORY_H */

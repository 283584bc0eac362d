/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which physical pages a mapping gets.
 */
#ifndef PLACEMENT_H
#define PLACEMENT_H

#include <linux/gfp.h>
#include <linux/mm_types.h>

/* Checks the module's parameters: 0 or -EINVAL, which the kernel's log explains. */
int placement_init(void);

/**
 * placement_alloc() - a page where the parameter "placement" wants it
 * @gfp: as for alloc_page()
 * @mapping: the mapping's number
 * @index: the page's number in its mapping
 *
 * Return: the page, or NULL if there is none in that place; for __free_page().
 */
struct page *placement_alloc(gfp_t gfp, unsigned long mapping, unsigned long index);

/* Pages that were taken while one of another colour was looked for. */
unsigned long placement_spares(void);

/* Gives the spare pages back; to be called when no mapping is left. */
void placement_drop_spares(void);

#endif /* PLACEMENT_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which physical pages a mapping gets
 *
 * A cache that is indexed by physical address has room for a page only in the sets of the page's
 * colour: its frame number modulo the number of colours, which is the size of a way divided by that
 * of a page. Where a program's pages have few colours, they take each other's place while the rest
 * of the cache is empty. What the allocator gives is chance, unless the parameter "placement" asks
 * for a colour by the page's number i in its mapping:
 *
 *   even       i modulo colours: the whole cache is used
 *   alternate  2 * i modulo colours: every second colour, half of the cache
 *   scattered  by chance, which the parameter "seed" and the number of the mapping decide
 *
 * The allocator knows no colours. It is asked until it gives a page of the right one; the others
 * are kept as spares by their colour, from which later requests are served. To give them back at
 * once would be no use: the allocator would give the same pages again. They are neither allocated
 * nor live in the module's counters, are at most a quarter of the memory (a search that would need
 * more fails as if there were no memory), and go when the last mapping does.
 *
 * Spares are zeroed when they are handed out, not before. They are not charged to the group of the
 * process for which they were taken (__GFP_ACCOUNT), since another one may get them.
 */
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/jhash.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "choice.h"
#include "placement.h"

#define MAX_COLOURS 64

enum { EVEN, ALTERNATE, SCATTERED, ANY };

static const char * const placements[] = {
	[EVEN] = "even",
	[ALTERNATE] = "alternate",
	[SCATTERED] = "scattered",
	[ANY] = "any",
};

static struct choice placement = {
	.words = placements,
	.count = ARRAY_SIZE(placements),
	.value = ANY,
};

module_param_cb(placement, &choice_ops, &placement, 0444);
MODULE_PARM_DESC(placement, "colours of a mapping's pages: even (0), alternate (1), scattered (2), or any (3, the default)");

static unsigned int colours = 8;
module_param(colours, uint, 0444);
MODULE_PARM_DESC(colours, "colours of the cache for placement, a power of two up to 64 (default 8: 512 KiB of 16 ways)");

static unsigned int seed;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "decides the colours of placement=scattered (default 0)");

static DEFINE_MUTEX(lock);	/* over the spares and their number */
static struct list_head spares[MAX_COLOURS];
static unsigned long nr_spares;

int placement_init(void)
{
	unsigned int i;

	if (!is_power_of_2(colours) || colours > MAX_COLOURS) {
		pr_err("%s: colours=%u: it takes a power of two from 1 to %d\n", KBUILD_MODNAME,
		       colours, MAX_COLOURS);
		return -EINVAL;
	}
	for (i = 0; i < colours; i++)
		INIT_LIST_HEAD(&spares[i]);
	return 0;
}

static unsigned int placement_colour(const struct page *page)
{
	return page_to_pfn(page) % colours;
}

static unsigned int placement_wanted(unsigned long mapping, unsigned long index)
{
	switch (placement.value) {
	case EVEN:
		return index % colours;
	case ALTERNATE:
		return 2 * index % colours;
	default:
		return jhash_3words(seed, mapping, index, 0) % colours;
	}
}

/* A spare of the colour, or else what the allocator has until one fits. */
static struct page *placement_find(unsigned int colour, gfp_t gfp)
{
	const unsigned long most = totalram_pages() / 4;
	struct page *page = list_first_entry_or_null(&spares[colour], struct page, lru);

	if (page) {
		list_del(&page->lru);
		WRITE_ONCE(nr_spares, nr_spares - 1);
		return page;
	}
	while (nr_spares < most && !fatal_signal_pending(current)) {
		cond_resched();
		page = alloc_page(gfp);
		if (!page || placement_colour(page) == colour)
			return page;
		list_add_tail(&page->lru, &spares[placement_colour(page)]);
		WRITE_ONCE(nr_spares, nr_spares + 1);
	}
	return NULL;
}

struct page *placement_alloc(gfp_t gfp, unsigned long mapping, unsigned long index)
{
	const gfp_t plain = gfp & ~(__GFP_ZERO | __GFP_ACCOUNT);
	struct page *page;

	if (placement.value == ANY)
		return alloc_page(gfp);

	mutex_lock(&lock);
	page = placement_find(placement_wanted(mapping, index), plain);
	mutex_unlock(&lock);
	if (page && (gfp & __GFP_ZERO))
		clear_highpage(page);
	return page;
}

unsigned long placement_spares(void)
{
	return READ_ONCE(nr_spares);
}

void placement_drop_spares(void)
{
	struct page *page, *next;
	unsigned int i;

	mutex_lock(&lock);
	for (i = 0; i < colours; i++) {
		list_for_each_entry_safe(page, next, &spares[i], lru) {
			cond_resched();
			list_del(&page->lru);
			__free_page(page);
		}
	}
	WRITE_ONCE(nr_spares, 0);
	mutex_unlock(&lock);
}

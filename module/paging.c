// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmod_paging - a device whose mappings are backed on demand or in advance
 *
 * A shared mapping of /dev/paging gets pages of its own, zeroed unless the
 * module is loaded with zero=0. With demand_paging=1 a page is allocated when it
 * is first touched; with demand_paging=0 all pages are allocated and mapped
 * before mmap() returns. Which ones: see placement.c.
 *
 * Ownership. The pages belong to a tracker, which every VMA that stems from
 * one mmap() call shares: fork, mremap, and the pieces left by a partial munmap
 * or an mprotect each hold a reference to it. The last one to go frees the
 * pages; a part that is unmapped earlier keeps its pages until then. The VMAs
 * are VM_PFNMAP: the core neither counts references to the pages nor hands them
 * out to get_user_pages(), so no one can hold a page longer than the tracker
 * does, and when the last VMA goes the core has removed all page-table entries
 * before it calls the close operation. For the same reason the pages are in no
 * one's resident set, in no core dump, and out of a debugger's reach.
 *
 * Refused. Private mappings (EINVAL), since copying on write would back them
 * with pages that the tracker does not know of. Executable ones (EPERM, and
 * EACCES from a later mprotect): this is memory for data. A process with the
 * personality READ_IMPLIES_EXEC asks for that with every readable mapping.
 * Growth by mremap (EFAULT, by VM_DONTEXPAND), since the
 * tracker's array has a fixed size; so a fault outside of it cannot happen, and
 * would get SIGBUS. The file offset has no meaning: any is taken, and two
 * mappings of one offset are as apart as of two.
 *
 * Shortage of memory. Pages are asked for without the OOM killer, which could
 * not find the culprit, as the pages are in no resident set. mmap() then fails
 * with ENOMEM and leaves nothing. A fault raises SIGBUS: VM_FAULT_OOM would make
 * the core repeat the access for as long as there is no memory, and nothing
 * else would have been done about it. Page tables the core allocates, and with
 * the OOM killer; populating has them made before it takes the pages. A fatal
 * signal ends populating (EINTR).
 *
 * Accounting. The pages of a mapping, touched or not, count towards
 * RLIMIT_MEMLOCK of the user who made it, as io_uring's and perf's buffers do:
 * they cannot be swapped out. mmap() beyond that fails with EAGAIN unless the
 * process has CAP_IPC_LOCK. The count is the user's and not the process's
 * (mm->locked_vm), since the pages can outlive that one: the last reference may
 * be a child's. Each page is also charged to the memory controller's group of
 * the process that first touches it (__GFP_ACCOUNT).
 *
 * Locking. A tracker's mutex serialises the faults of one mapping, so that two
 * threads which touch one page get the same. mmap() needs no lock: no one else
 * knows the tracker yet. Open, close and fault run with the mmap lock held.
 */
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "choice.h"
#include "paging.h"
#include "placement.h"

#define CREATE_TRACE_POINTS
#include "paging_trace.h"

/* No OOM killer (see above), and no words about a size that user space chose. */
#define PAGING_GFP (__GFP_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

static bool demand_paging = true;
module_param(demand_paging, bool, 0444);
MODULE_PARM_DESC(demand_paging, "allocate a page when it is first touched (1, the default) or all in mmap() (0)");

static bool zero = true;
module_param(zero, bool, 0444);
MODULE_PARM_DESC(zero, "zero the pages (1, the default); 0 is unsafe: whoever maps the device reads what others left in memory");

enum { LOG_NONE, LOG_FAULTS, LOG_EVENTS };

static const char * const logs[] = {
	[LOG_NONE] = "none",
	[LOG_FAULTS] = "faults",
	[LOG_EVENTS] = "events",
};

static struct choice log = {
	.words = logs,
	.count = ARRAY_SIZE(logs),
	.value = LOG_NONE,
};

module_param_cb(log, &choice_ops, &log, 0644);
MODULE_PARM_DESC(log, "lines in the kernel log: none (0, the default), one for each mmap, close and fault (faults, 1), or for each mmap and close (events, 2)");

static atomic_long_t pages_allocated;
static atomic_long_t pages_freed;
static atomic_long_t pages_live;
static atomic_long_t faults;
static atomic_long_t mappings;	/* trackers that live */
static atomic_long_t mappings_made;

/**
 * struct paging_tracker - the pages of one mmap() call
 * @refs: number of VMAs that share the pages
 * @lock: held while an element of @pages is read or set by a fault
 * @user: whose limit the pages are charged to, NULL if they are not yet
 * @number: how many mappings there were before this one
 * @first: file offset, in pages, at which the mapping began
 * @nr_pages: number of elements of @pages
 * @pages: the page at each offset from @first, NULL where not yet allocated
 */
struct paging_tracker {
	refcount_t refs;
	struct mutex lock;	/* over pages[], against concurrent faults */
	struct user_struct *user;
	unsigned long number;
	unsigned long first;
	unsigned long nr_pages;
	struct page *pages[];
};

static struct page *paging_alloc_page(const struct paging_tracker *tracker, unsigned long index)
{
	/* Without zeros as drivers do that do not know better: in low memory. */
	const gfp_t gfp = (zero ? GFP_HIGHUSER | __GFP_ZERO : GFP_KERNEL) | PAGING_GFP;
	struct page *page = placement_alloc(gfp, tracker->number, index);

	if (page) {
		atomic_long_inc(&pages_allocated);
		atomic_long_inc(&pages_live);
		trace_allocate(index, page_to_pfn(page));
	}
	return page;
}

static void paging_free_page(struct page *page)
{
	__free_page(page);
	atomic_long_dec(&pages_live);
	atomic_long_inc(&pages_freed);
}

static struct paging_tracker *paging_tracker_create(unsigned long first, unsigned long nr_pages)
{
	struct paging_tracker *tracker;

	tracker = kvzalloc(struct_size(tracker, pages, nr_pages), GFP_KERNEL | PAGING_GFP);
	if (!tracker)
		return NULL;

	refcount_set(&tracker->refs, 1);
	mutex_init(&tracker->lock);
	tracker->number = atomic_long_inc_return(&mappings_made) - 1;
	tracker->first = first;
	tracker->nr_pages = nr_pages;
	atomic_long_inc(&mappings);
	return tracker;
}

static void paging_tracker_put(struct paging_tracker *tracker)
{
	unsigned long i;

	if (!refcount_dec_and_test(&tracker->refs))
		return;

	for (i = 0; i < tracker->nr_pages; i++) {
		cond_resched();
		if (tracker->pages[i])
			paging_free_page(tracker->pages[i]);
	}
	if (tracker->user) {
		atomic_long_sub(tracker->nr_pages, &tracker->user->locked_vm);
		free_uid(tracker->user);
	}
	mutex_destroy(&tracker->lock);
	kvfree(tracker);
	if (atomic_long_dec_and_test(&mappings))
		placement_drop_spares();
}

/* Charges a new mapping's pages to the user's limit (see above); undone by the last put. */
static int paging_charge(struct paging_tracker *tracker)
{
	const unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	struct user_struct *user = get_current_user();
	unsigned long charged = atomic_long_add_return(tracker->nr_pages, &user->locked_vm);

	tracker->user = user;
	return charged <= limit || capable(CAP_IPC_LOCK) ? 0 : -EAGAIN;
}

static void paging_vma_open(struct vm_area_struct *vma)
{
	struct paging_tracker *tracker = vma->vm_private_data;

	refcount_inc(&tracker->refs);
}

static void paging_vma_close(struct vm_area_struct *vma)
{
	struct paging_tracker *tracker = vma->vm_private_data;

	if (READ_ONCE(log.value) != LOG_NONE)
		pr_info("%s() invoked\n", __func__);
	trace_close(vma, refcount_read(&tracker->refs) - 1);
	paging_tracker_put(tracker);
}

/* The page at an index of the mapping, allocated if this is its first fault. */
static struct page *paging_get_page(struct paging_tracker *tracker, unsigned long index)
{
	struct page *page;

	mutex_lock(&tracker->lock);
	page = tracker->pages[index];
	if (!page) {
		page = paging_alloc_page(tracker, index);
		tracker->pages[index] = page;
	}
	mutex_unlock(&tracker->lock);
	return page;
}

static vm_fault_t paging_vma_fault(struct vm_fault *vmf)
{
	struct paging_tracker *tracker = vmf->vma->vm_private_data;
	unsigned long index = vmf->pgoff - tracker->first;
	vm_fault_t result = VM_FAULT_SIGBUS;
	struct page *page = NULL;

	atomic_long_inc(&faults);
	if (READ_ONCE(log.value) == LOG_FAULTS)
		pr_info("%s() invoked: took a page fault at VA 0x%lx\n", __func__, vmf->address);

	if (index < tracker->nr_pages)
		page = paging_get_page(tracker, index);

	/*
	 * Not remap_pfn_range(): it changes vm_flags, for which the fault does
	 * not hold the lock, and it must not meet an entry that another thread
	 * has just put there. This leaves such an entry as it is.
	 */
	if (page)
		result = vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(page));

	trace_fault(vmf->address, index, result);
	return result;
}

static const struct vm_operations_struct paging_vm_ops = {
	.open = paging_vma_open,
	.close = paging_vma_close,
	.fault = paging_vma_fault,
};

/* Allocates all pages of a new mapping and maps them; undone by the caller's put. */
static int paging_populate(struct vm_area_struct *vma, struct paging_tracker *tracker)
{
	unsigned long i;
	int err;

	/* What cannot be had is not tried: it would drain all memory first. */
	if (tracker->nr_pages > totalram_pages())
		return -ENOMEM;

	/* Page tables first, as long as there is memory (see above). */
	err = apply_to_page_range(vma->vm_mm, vma->vm_start, vma->vm_end - vma->vm_start,
				  NULL, NULL);
	if (err)
		return err;

	for (i = 0; i < tracker->nr_pages; i++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		tracker->pages[i] = paging_alloc_page(tracker, i);
		if (!tracker->pages[i])
			return -ENOMEM;
	}

	for (i = 0; i < tracker->nr_pages; i++) {
		cond_resched();
		err = remap_pfn_range(vma, vma->vm_start + i * PAGE_SIZE,
				      page_to_pfn(tracker->pages[i]), PAGE_SIZE,
				      vma->vm_page_prot);
		if (err) {
			/* Other threads must not reach the pages once they are freed. */
			zap_vma_ptes(vma, vma->vm_start, vma->vm_end - vma->vm_start);
			return err;
		}
	}
	return 0;
}

static void paging_set_vm_flags(struct vm_area_struct *vma)
{
	/* Pages that are not the core's; never grown by mremap, never in a core dump. */
	const vm_flags_t set = VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP;

#ifdef HAVE_VM_FLAGS_MOD
	vm_flags_mod(vma, set, VM_MAYEXEC);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~VM_MAYEXEC;
#endif
}

static int paging_map(struct vm_area_struct *vma)
{
	struct paging_tracker *tracker;
	int err;

	/* Not VM_SHARED, which the core clears if the file was opened for reading only. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;

	tracker = paging_tracker_create(vma->vm_pgoff, vma_pages(vma));
	if (!tracker)
		return -ENOMEM;

	err = paging_charge(tracker);
	if (err) {
		paging_tracker_put(tracker);
		return err;
	}

	paging_set_vm_flags(vma);
	if (!demand_paging) {
		err = paging_populate(vma, tracker);
		if (err) {
			paging_tracker_put(tracker);
			return err;
		}
	}

	vma->vm_private_data = tracker;
	vma->vm_ops = &paging_vm_ops;
	return 0;
}

static int paging_mmap(struct file *file, struct vm_area_struct *vma)
{
	int err;

	if (READ_ONCE(log.value) != LOG_NONE)
		pr_info("%s() invoked: new VMA for pid %d from VA 0x%lx to 0x%lx\n",
			__func__, task_pid_nr(current), vma->vm_start, vma->vm_end);
	err = paging_map(vma);
	trace_mmap(vma, demand_paging, err);
	return err;
}

static const struct file_operations paging_fops = {
	.owner = THIS_MODULE,
	.mmap = paging_mmap,
};

static ssize_t pages_allocated_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read(&pages_allocated));
}
static DEVICE_ATTR_RO(pages_allocated);

static ssize_t pages_freed_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read(&pages_freed));
}
static DEVICE_ATTR_RO(pages_freed);

static ssize_t pages_live_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read(&pages_live));
}
static DEVICE_ATTR_RO(pages_live);

static ssize_t pages_spare_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", placement_spares());
}
static DEVICE_ATTR_RO(pages_spare);

static ssize_t faults_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read(&faults));
}
static DEVICE_ATTR_RO(faults);

static ssize_t mappings_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read(&mappings));
}
static DEVICE_ATTR_RO(mappings);

static struct attribute *paging_attrs[] = {
	&dev_attr_pages_allocated.attr,
	&dev_attr_pages_freed.attr,
	&dev_attr_pages_live.attr,
	&dev_attr_pages_spare.attr,
	&dev_attr_faults.attr,
	&dev_attr_mappings.attr,
	NULL
};
ATTRIBUTE_GROUPS(paging);

static struct miscdevice paging_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = PAGING_DEVICE_NAME,
	.fops = &paging_fops,
	.groups = paging_groups,
	.mode = 0666,
};

static int __init paging_init(void)
{
	int err = placement_init();

	if (!err)
		err = misc_register(&paging_device);
	if (err)
		return err;

	pr_info("Loaded kmod_paging module\n");
	return 0;
}

static void __exit paging_exit(void)
{
	misc_deregister(&paging_device);
	pr_info("allocate_page_counter:%ld free_page_counter:%ld\n",
		atomic_long_read(&pages_allocated), atomic_long_read(&pages_freed));
	pr_info("Unloaded kmod_paging module\n");
}

module_init(paging_init);
module_exit(paging_exit);

MODULE_DESCRIPTION("Device memory paged on demand or in advance");
MODULE_AUTHOR("The pibed developers");
MODULE_LICENSE("GPL");

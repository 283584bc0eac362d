// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/ring: what is written comes out again, in the same order. In between it is in a ring buffer;
 * a reader sleeps while that is empty, a writer while it is full.
 */
#include <linux/circ_buf.h>
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

static unsigned int capacity = 4096;
module_param(capacity, uint, 0444);
MODULE_PARM_DESC(capacity, "Bytes of the buffer, a power of two; one less can be in it");

static unsigned int waits;
module_param(waits, uint, 0444);
MODULE_PARM_DESC(waits, "How often a reader or a writer had to sleep; not to be set");

static struct circ_buf ring;
static DEFINE_MUTEX(ring_lock);
static DECLARE_WAIT_QUEUE_HEAD(ring_filled);
static DECLARE_WAIT_QUEUE_HEAD(ring_drained);

static bool has_bytes(void)
{
	return CIRC_CNT(READ_ONCE(ring.head), READ_ONCE(ring.tail), capacity);
}

static bool has_space(void)
{
	return CIRC_SPACE(READ_ONCE(ring.head), READ_ONCE(ring.tail), capacity);
}

/* Takes the lock once the ring is ready: returns 0, or an error, and then without the lock. */
static int lock_when(bool (*ready)(void), struct file *file, wait_queue_head_t *queue)
{
	while (!mutex_lock_interruptible(&ring_lock)) {
		if (ready())
			return 0;
		waits++;
		mutex_unlock(&ring_lock);
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(*queue, ready()))
			break;
	}
	return -ERESTARTSYS;
}

/* Gives what is there up to the buffer's end: whoever wants more reads again. */
static ssize_t ring_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	size_t count;
	int err;

	if (!size)
		return 0;
	err = lock_when(has_bytes, file, &ring_filled);
	if (err)
		return err;
	count = min_t(size_t, size, CIRC_CNT_TO_END(ring.head, ring.tail, capacity));
	if (copy_to_user(buf, ring.buf + ring.tail, count))
		err = -EFAULT;
	else
		WRITE_ONCE(ring.tail, (ring.tail + count) & (capacity - 1));
	mutex_unlock(&ring_lock);
	wake_up_interruptible(&ring_drained);
	return err ?: count;
}

static ssize_t ring_write(struct file *file, const char __user *buf, size_t size, loff_t *pos)
{
	size_t count;
	int err;

	if (!size)
		return 0;
	err = lock_when(has_space, file, &ring_drained);
	if (err)
		return err;
	count = min_t(size_t, size, CIRC_SPACE_TO_END(ring.head, ring.tail, capacity));
	if (copy_from_user(ring.buf + ring.head, buf, count))
		err = -EFAULT;
	else
		WRITE_ONCE(ring.head, (ring.head + count) & (capacity - 1));
	mutex_unlock(&ring_lock);
	wake_up_interruptible(&ring_filled);
	return err ?: count;
}

static const struct file_operations ring_fops = {
	.owner = THIS_MODULE,
	.read = ring_read,
	.write = ring_write,
};

static struct miscdevice ring_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ring",
	.fops = &ring_fops,
};

static int __init ring_init(void)
{
	int err;

	if (!is_power_of_2(capacity) || capacity < 2 || capacity > KMALLOC_MAX_SIZE) {
		pr_err("capacity=%u: expected a power of two\n", capacity);
		return -EINVAL;
	}
	ring.buf = kmalloc(capacity, GFP_KERNEL);
	if (!ring.buf)
		return -ENOMEM;
	err = misc_register(&ring_misc);
	if (err)
		kfree(ring.buf);
	return err;
}
module_init(ring_init);

static void __exit ring_exit(void)
{
	misc_deregister(&ring_misc);
	kfree(ring.buf);
}
module_exit(ring_exit);

MODULE_DESCRIPTION("A ring buffer between those who write and those who read");
MODULE_LICENSE("GPL");

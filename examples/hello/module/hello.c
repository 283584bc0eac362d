// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/hello: reading gives as many zeros as were asked for. They are copied to the program one
 * byte after the other, or with bulk=1 all at once.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>

static bool bulk;
module_param(bulk, bool, 0444);
MODULE_PARM_DESC(bulk, "Copy all bytes at once (default: one after the other)");

static ssize_t hello_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	size_t i;

	if (bulk)
		return clear_user(buf, size) ? -EFAULT : size;
	for (i = 0; i < size; i++)
		if (put_user(0, buf + i))
			return -EFAULT;
	return size;
}

static const struct file_operations hello_fops = {
	.owner = THIS_MODULE,
	.read = hello_read,
};

static struct miscdevice hello_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "hello",
	.fops = &hello_fops,
};
module_misc_device(hello_misc);

MODULE_DESCRIPTION("Gives zeros, copied in one of two ways");
MODULE_LICENSE("GPL");

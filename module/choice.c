// SPDX-License-Identifier: GPL-2.0-only
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "choice.h"

static void choice_refuse(const char *text, const struct kernel_param *kp)
{
	const struct choice *choice = kp->arg;
	char takes[64];
	unsigned int i;
	int used = 0;

	for (i = 0; i < choice->count; i++)
		used += scnprintf(takes + used, sizeof(takes) - used, "%s%s", i ? ", " : "",
				  choice->words[i]);
	pr_err("%s: %s=%s: it takes one of %s\n", KBUILD_MODNAME, kp->name, text, takes);
}

static int choice_set(const char *text, const struct kernel_param *kp)
{
	struct choice *choice = kp->arg;
	unsigned int number;
	int found;

	/* Heeds the newline of an echo to sysfs. */
	found = __sysfs_match_string(choice->words, choice->count, text);
	if (found < 0 && !kstrtouint(text, 10, &number) && number < choice->count)
		found = number;
	if (found < 0) {
		choice_refuse(text, kp);
		return -EINVAL;
	}
	WRITE_ONCE(choice->value, found);
	return 0;
}

static int choice_get(char *buffer, const struct kernel_param *kp)
{
	const struct choice *choice = kp->arg;

	return sysfs_emit(buffer, "%s\n", choice->words[READ_ONCE(choice->value)]);
}

const struct kernel_param_ops choice_ops = {
	.set = choice_set,
	.get = choice_get,
};

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A module parameter that takes one of a few words, or a word's number in their list.
 */
#ifndef CHOICE_H
#define CHOICE_H

#include <linux/moduleparam.h>

/**
 * struct choice - a parameter's value and what it may be
 * @words: what the parameter takes
 * @count: number of elements of @words
 * @value: index of the one that was chosen; read it with READ_ONCE() if it is writable
 */
struct choice {
	const char * const *words;
	unsigned int count;
	unsigned int value;
};

/* For module_param_cb(), with a struct choice as the argument. */
extern const struct kernel_param_ops choice_ops;

#endif /* CHOICE_H */

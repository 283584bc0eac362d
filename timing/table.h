/* SPDX-License-Identifier: GPL-2.0-only */
/* A hash table that grows: what is found by a number of 64 bits. Nothing is ever taken out of it. */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_row {
	uint64_t key;
	void *value;	/* NULL in a row that is free */
};

struct table {
	struct table_row *rows;
	size_t size;	/* a power of two */
	size_t used;
};

bool table_init(struct table *table);

/* Frees the rows, not what they point to. */
void table_free(struct table *table);

/* The value of a key, or NULL. */
void *table_find(const struct table *table, uint64_t key);

/* Adds a key that is not there yet. False, and nothing changes, if there is no memory. */
bool table_add(struct table *table, uint64_t key, void *value);

#endif

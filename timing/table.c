// SPDX-License-Identifier: GPL-2.0-only
#include "table.h"

#include <stdlib.h>

#define FIRST_SIZE 1024

bool table_init(struct table *table)
{
	*table = (struct table){ .rows = calloc(FIRST_SIZE, sizeof(struct table_row)), .size = FIRST_SIZE };
	return table->rows;
}

void table_free(struct table *table)
{
	free(table->rows);
}

/* The key's row, or the free one where it would be: Fibonacci hashing, linear probing (D. Knuth, TAOCP 3, 6.4). */
static struct table_row *row_of(const struct table *table, uint64_t key)
{
	size_t at = (key * 0x9e3779b97f4a7c15) >> 32 & (table->size - 1);

	while (table->rows[at].value && table->rows[at].key != key)
		at = (at + 1) & (table->size - 1);
	return &table->rows[at];
}

void *table_find(const struct table *table, uint64_t key)
{
	return row_of(table, key)->value;
}

static bool grow(struct table *table)
{
	struct table larger = { .size = 2 * table->size, .used = table->used };
	size_t i;

	larger.rows = calloc(larger.size, sizeof(*larger.rows));
	if (!larger.rows)
		return false;
	for (i = 0; i < table->size; i++) {
		if (table->rows[i].value)
			*row_of(&larger, table->rows[i].key) = table->rows[i];
	}
	free(table->rows);
	*table = larger;
	return true;
}

bool table_add(struct table *table, uint64_t key, void *value)
{
	if (2 * table->used >= table->size && !grow(table))
		return false;
	*row_of(table, key) = (struct table_row){ key, value };
	table->used++;
	return true;
}

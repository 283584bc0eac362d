// SPDX-License-Identifier: GPL-2.0-only
#include "../table.h"
#include "check.h"

int main(void)
{
	static int values[5000];
	struct table table;
	uint64_t i;

	EXPECT(table_init(&table), true);
	EXPECT(table_find(&table, 7) == NULL, true);
	/* More than it has room for at first, with keys that differ in their higher and in their lower half. */
	for (i = 0; i < 5000; i++)
		EXPECT(table_add(&table, i << (i % 2 ? 32 : 0), &values[i]), true);
	EXPECT(table.used, 5000);
	for (i = 0; i < 5000; i++)
		EXPECT(table_find(&table, i << (i % 2 ? 32 : 0)) == &values[i], true);
	EXPECT(table_find(&table, 4999) == NULL, true);
	table_free(&table);
	return 0;
}

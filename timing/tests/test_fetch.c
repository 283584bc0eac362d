// SPDX-License-Identifier: GPL-2.0-only
#include "../fetch.h"
#include "check.h"
#include "small_board.h"

int main(void)
{
	struct core core = { 0 };
	struct fetch fetch;
	struct l2 l2;

	EXPECT(l2_init(&l2, &small_board, &core), true);
	EXPECT(fetch_init(&fetch, &small_board, &core, &l2), true);

	fetch_line(&fetch, 100);
	EXPECT(core.memory_ps, 1000000);	/* from memory */
	fetch_line(&fetch, 100);
	EXPECT(core.l1i_misses, 1);
	fetch_line(&fetch, 101);		/* the next one was prefetched */
	EXPECT(core.memory_ps, 1001000);
	fetch_line(&fetch, 100);
	EXPECT(core.l1i_misses, 2);
	EXPECT(core.busy_cycles, 0);

	/* Four lines do not fit into two, so some hit in L2: a cycle each, but for the one that follows. */
	fetch_line(&fetch, 200);
	fetch_line(&fetch, 300);
	EXPECT(core.l2_misses, 4);
	core.l1i_misses = 0;
	for (int round = 0; round < 8; round++) {
		fetch_line(&fetch, 100);
		fetch_line(&fetch, 200);
		fetch_line(&fetch, 300);
	}
	EXPECT(core.l2_misses, 4);
	EXPECT(core.l1i_misses > 0, true);
	EXPECT(core.busy_cycles, core.l1i_misses);

	fetch_free(&fetch);
	l2_free(&l2);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "../governor.h"
#include "check.h"
#include "small_board.h"

enum { US = 1000 };	/* nanoseconds */

int main(void)
{
	struct governor governor;

	governor_init(&governor, &small_board);
	EXPECT(governor.khz, 500000);
	governor_look(&governor, 99 * US, 99 * US);	/* not time yet */
	EXPECT(governor.khz, 500000);
	governor_look(&governor, 100 * US, 49 * US);	/* 49 of 100 busy */
	EXPECT(governor.khz, 500000);
	governor_look(&governor, 200 * US, 99 * US);	/* 50 of 100 */
	EXPECT(governor.khz, 1000000);
	governor_look(&governor, 499 * US, 99 * US);	/* at the highest it looks 3 times more seldom */
	EXPECT(governor.khz, 1000000);
	governor_look(&governor, 510 * US, 109 * US);	/* 10 of 310 */
	EXPECT(governor.khz, 500000);
	EXPECT(governor.next_ns, 600 * US);		/* not 610: the timer does not wait for who looks late */
	return 0;
}

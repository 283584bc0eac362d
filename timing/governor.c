// SPDX-License-Identifier: GPL-2.0-only
#include "governor.h"

static uint64_t period_ns(const struct board *board)
{
	return (uint64_t)board->governor_sample_us * 1000;
}

void governor_init(struct governor *governor, const struct board *board)
{
	*governor = (struct governor){ .board = board, .khz = board->frequency_min_khz, .next_ns = period_ns(board) };
}

void governor_look(struct governor *governor, uint64_t now_ns, uint64_t busy_ns)
{
	const struct board *board = governor->board;
	uint64_t period = period_ns(board), busy;
	bool up;

	if (now_ns < governor->next_ns)
		return;
	busy = busy_ns - governor->busy_ns;
	up = busy * 100 >= (now_ns - governor->since_ns) * board->governor_up_percent;
	governor->khz = up ? board->frequency_max_khz : board->frequency_min_khz;
	/* Its timer fires at multiples of the period, however late it is seen here. */
	governor->since_ns = now_ns - now_ns % period;
	governor->busy_ns = busy_ns;
	governor->next_ns = governor->since_ns + period * (up ? board->governor_down_factor : 1);
}

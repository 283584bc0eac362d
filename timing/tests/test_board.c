// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include <unistd.h>

#include "../board.h"
#include "check.h"
#include "small_board.h"

static char path[] = "/tmp/board-XXXXXX";
static char message[256];

/* Writes a board's file, with one key's line replaced by another line, and reads it. */
static bool read_with(const char *key, const char *line)
{
	const struct pipeline_numbers pipeline = { .issue_width = 2, .fp_issue_width = 1 };
	struct board board, whole = small_board;
	FILE *file = fopen(path, "w");
	bool good;

	whole.pipeline = pipeline;
#define WRITE(name, value) \
	do { \
		if (key && !strcmp(key, name)) \
			fputs(line, file); \
		else \
			fprintf(file, "%s %" PRIu32 "\n", name, value); \
	} while (0);
#define WRITE_BOARD(name) WRITE(#name, whole.name)
#define WRITE_PIPELINE(name) WRITE(#name, whole.pipeline.name)
	BOARD_NUMBERS(WRITE_BOARD)
	PIPELINE_NUMBERS(WRITE_PIPELINE)
	fclose(file);
	message[0] = 0;
	good = board_read(&board, path, message, sizeof(message));
	if (good)
		EXPECT(memcmp(&board, &whole, sizeof(board)), 0);
	return good;
}

static void refused(const char *key, const char *line, const char *words)
{
	EXPECT(read_with(key, line), false);
	if (!strstr(message, words) || !strstr(message, path)) {
		fprintf(stderr, "%s: expected %s\n", message, words);
		exit(1);
	}
}

int main(void)
{
	EXPECT(mkstemp(path) >= 0, true);
	EXPECT(read_with(NULL, NULL), true);
	refused("dram_ps", "", "dram_ps: is missing");
	refused("dram_ps", "dram_ps 1\ndram_ps 1\n", "dram_ps: is there twice");
	refused("dram_ps", "dram_ps 1\nspeed 1\n", "speed: an unknown key");
	refused("dram_ps", "dram_ps fast\n", "dram_ps: expected a number");
	refused("l1d_ways", "l1d_ways 3\n", "l1d_ways");	/* 4 lines in 3 ways */
	refused("l1d_ways", "l1d_ways 0\n", "l1d_ways");
	refused("l1i_bytes", "l1i_bytes 0\n", "l1i_bytes");
	refused("l2_ways", "l2_ways 32\n", "l2_ways");		/* more ways than lines */
	refused("tlb_entries", "tlb_entries 12\n", "tlb_entries");	/* 3 sets */
	refused("utlb_entries", "utlb_entries 0\n", "utlb_entries");
	refused("utlb_entries", "utlb_entries 65\n", "utlb_entries");
	refused("frequency_min_khz", "frequency_min_khz 1000001\n", "frequency_min_khz");
	refused("frequency_min_khz", "frequency_min_khz 0\n", "frequency_min_khz");
	refused("governor_sample_us", "governor_sample_us 0\n", "governor_sample_us");
	refused("issue_width", "issue_width 0\n", "issue_width");
	unlink(path);
	EXPECT(board_read(&(struct board){ 0 }, path, message, sizeof(message)), false);
	EXPECT(strstr(message, "No such file") != NULL, true);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "board.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct number {
	const char *key;
	size_t offset;
};

#define BOARD_NUMBER(name) { #name, offsetof(struct board, name) },
#define BOARD_PIPELINE(name) { #name, offsetof(struct board, pipeline.name) },
static const struct number numbers[] = { BOARD_NUMBERS(BOARD_NUMBER) PIPELINE_NUMBERS(BOARD_PIPELINE) };
#undef BOARD_NUMBER
#undef BOARD_PIPELINE

enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

static bool power_of_two(uint32_t number)
{
	return number && !(number & (number - 1));
}

/* Sets are chosen by bits of an address, so their number is a power of two. */
static bool has_sets(uint32_t entries, uint32_t ways)
{
	return ways && entries % ways == 0 && power_of_two(entries / ways);
}

static const char *impossible(const struct board *board)
{
	if (!has_sets(board->l1d_bytes >> LINE_SHIFT, board->l1d_ways))
		return "l1d_bytes, l1d_ways";
	if (!has_sets(board->l1i_bytes >> LINE_SHIFT, board->l1i_ways))
		return "l1i_bytes, l1i_ways";
	if (!has_sets(board->l2_bytes >> LINE_SHIFT, board->l2_ways))
		return "l2_bytes, l2_ways";
	if (!has_sets(board->tlb_entries, board->tlb_ways))
		return "tlb_entries, tlb_ways";
	if (!board->utlb_entries || board->utlb_entries > 64)
		return "utlb_entries";
	if (!board->frequency_min_khz || board->frequency_min_khz > board->frequency_max_khz)
		return "frequency_min_khz, frequency_max_khz";
	if (!board->governor_sample_us)
		return "governor_sample_us";
	if (!board->pipeline.issue_width || !board->pipeline.fp_issue_width)
		return "issue_width, fp_issue_width";
	return NULL;
}

static bool read_lines(struct board *board, FILE *file, const char *path, char *message, size_t size)
{
	bool there[NUMBERS] = { false };
	char key[64];
	size_t i;
	int found;

	for (;;) {
		uint32_t value;

		found = fscanf(file, "%63s %" SCNu32, key, &value);
		if (found == EOF)
			break;
		if (found != 2) {
			snprintf(message, size, "%s: %s: expected a number", path, found == 1 ? key : "its begin");
			return false;
		}
		for (i = 0; i < NUMBERS && strcmp(key, numbers[i].key); i++)
			;
		if (i == NUMBERS || there[i]) {
			snprintf(message, size, "%s: %s: %s", path, key, i == NUMBERS ? "an unknown key" : "is there twice");
			return false;
		}
		there[i] = true;
		memcpy((char *)board + numbers[i].offset, &value, sizeof(value));
	}
	for (i = 0; i < NUMBERS; i++) {
		if (!there[i]) {
			snprintf(message, size, "%s: %s: is missing", path, numbers[i].key);
			return false;
		}
	}
	return true;
}

bool board_read(struct board *board, const char *path, char *message, size_t size)
{
	const char *wrong;
	FILE *file = fopen(path, "r");
	bool whole;

	if (!file) {
		snprintf(message, size, "%s: %s", path, strerror(errno));
		return false;
	}
	whole = read_lines(board, file, path, message, size);
	fclose(file);
	if (!whole)
		return false;
	wrong = impossible(board);
	if (wrong)
		snprintf(message, size, "%s: %s: no such core can be", path, wrong);
	return !wrong;
}

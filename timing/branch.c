// SPDX-License-Identifier: GPL-2.0-only
#include "branch.h"

#include <stdlib.h>
#include <string.h>

/* How many directions are in the index of the table: assumed, no manual says it. */
#define HISTORY 8

/* Exceptions go here, with the vectors that Linux uses. */
#define VECTORS 0xffff0000u
#define VECTORS_BYTES 32

bool branch_init(struct branch *branch, const struct board *board, struct core *core)
{
	*branch = (struct branch){ .board = board, .core = core };
	branch->patterns = malloc(board->pattern_entries);
	branch->targets = calloc(board->target_entries, sizeof(*branch->targets));
	branch->returns = calloc(board->return_entries, sizeof(*branch->returns));
	if (!branch->patterns || !branch->targets || !branch->returns) {
		branch_free(branch);
		return false;
	}
	memset(branch->patterns, 1, board->pattern_entries);
	return true;
}

void branch_free(struct branch *branch)
{
	free(branch->patterns);
	free(branch->targets);
	free(branch->returns);
}

/* Whether an IT makes the last instruction of a block conditional. */
static bool covered_by_it(const struct insn *insns, size_t n)
{
	size_t i;

	for (i = n - 1; i-- > 0;) {
		if (insns[i].covers)
			return i + insns[i].covers >= n - 1;
	}
	return false;
}

static uint8_t kind_of(const struct insn *insn)
{
	uint64_t from = insn->reads & ~(reg_bit(REG_PC) | reg_bit(REG_FLAGS));

	if (!(insn->writes & reg_bit(REG_PC)))
		return BRANCH_NONE;
	switch (insn->class) {
	case INSN_BRANCH:
		if (insn->offset || !from)
			return BRANCH_DIRECT;
		return from == reg_bit(REG_LR) && !(insn->writes & reg_bit(REG_LR)) ? BRANCH_RETURN : BRANCH_INDIRECT;
	case INSN_LOAD:
		/* RFE, which loads the flags as well, ends an exception. */
		if (insn->writes & reg_bit(REG_FLAGS))
			return BRANCH_UNPREDICTED;
		return insn->address == reg_bit(REG_SP) ? BRANCH_RETURN : BRANCH_INDIRECT;
	default:
		return BRANCH_UNPREDICTED;
	}
}

struct branch_end branch_end(const struct insn *insns, size_t n, uint32_t next)
{
	const struct insn *insn = &insns[n - 1];
	struct branch_end end = { .next = next, .kind = kind_of(insn) };

	if (end.kind == BRANCH_NONE)
		return end;
	/* A direct branch that reads something compares it, or the flags. */
	end.conditional = insn->conditional || (insn->offset && insn->reads) || covered_by_it(insns, n);
	end.links = insn->class == INSN_BRANCH && insn->writes & reg_bit(REG_LR);
	return end;
}

/* An index below a limit: Fibonacci hashing (D. Knuth, The Art of Computer Programming 3, 6.4). */
static uint32_t hashed(uint32_t key, uint32_t limit)
{
	return (uint64_t)(key * 2654435769u) * limit >> 32;
}

static bool direction_is_predicted(struct branch *branch, bool taken)
{
	uint32_t key = branch->last.next >> 1 ^ branch->history << 16;
	uint8_t *counter = &branch->patterns[hashed(key, branch->board->pattern_entries)];
	bool predicted = *counter >= 2;

	if (taken && *counter < 3)
		++*counter;
	else if (!taken && *counter > 0)
		--*counter;
	branch->history = (branch->history << 1 | taken) & ((1u << HISTORY) - 1);
	return predicted == taken;
}

static bool target_is_predicted(struct branch *branch, uint32_t address)
{
	struct branch_target *at = &branch->targets[hashed(branch->last.next >> 1, branch->board->target_entries)];
	bool predicted = at->branch == branch->last.next && at->target == address;

	*at = (struct branch_target){ branch->last.next, address };
	return predicted;
}

static bool return_is_predicted(struct branch *branch, uint32_t address)
{
	if (!branch->depth)
		return false;
	branch->depth--;
	return branch->returns[branch->depth % branch->board->return_entries] == address;
}

static bool is_predicted(struct branch *branch, uint32_t address)
{
	const struct branch_end *last = &branch->last;
	bool taken = address != last->next, predicted = true;

	if (address - VECTORS < VECTORS_BYTES)
		return false;
	if (last->conditional)
		predicted = direction_is_predicted(branch, taken);
	if (last->conditional && !taken)
		return predicted;
	if (last->links)
		branch->returns[branch->depth++ % branch->board->return_entries] = last->next;
	switch (last->kind) {
	case BRANCH_NONE:
	case BRANCH_DIRECT:
		return predicted;
	case BRANCH_RETURN:
		return return_is_predicted(branch, address) && predicted;
	case BRANCH_INDIRECT:
		return target_is_predicted(branch, address) && predicted;
	default:
		return false;
	}
}

void branch_resolve(struct branch *branch, uint32_t address)
{
	if (is_predicted(branch, address))
		return;
	branch->core->branch_misses++;
	branch->core->busy_cycles += branch->board->mispredict_cycles;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Prediction of branches, each of which is resolved by where the next block begins.
 *
 * Directions are predicted by a pattern history table, which is indexed by the branch and the last directions (S. McFarling,
 * Combining Branch Predictors, DEC WRL TN-36, 1993), targets of returns by a stack, those of other indirect branches by where they
 * went last. What is not predicted, exceptions and what ends them included, costs as much as what is predicted wrongly.
 */
#ifndef BRANCH_H
#define BRANCH_H

#include <stddef.h>

#include "board.h"
#include "core.h"
#include "insn.h"

enum branch_kind {
	BRANCH_NONE,		/* the block behind it follows */
	BRANCH_DIRECT,
	BRANCH_RETURN,
	BRANCH_INDIRECT,
	BRANCH_UNPREDICTED
};

/* How a block of instructions ends. */
struct branch_end {
	uint32_t next;		/* address behind it */
	uint8_t kind;		/* enum branch_kind */
	bool conditional;
	bool links;		/* a call: its return goes to next */
};

struct branch_end branch_end(const struct insn *insns, size_t n, uint32_t next);

struct branch_target {
	uint32_t branch;
	uint32_t target;
};

struct branch {
	const struct board *board;
	struct core *core;
	struct branch_end last;		/* of the block that is executed */
	uint32_t history;		/* the last directions, a bit each, 1 for a branch that was taken */
	uint8_t *patterns;		/* counters from 0 to 3, from 2 on taken is predicted */
	struct branch_target *targets;
	uint32_t *returns;		/* a ring */
	uint32_t depth;			/* what was pushed and not yet popped, even if it is overwritten */
};

bool branch_init(struct branch *branch, const struct board *board, struct core *core);
void branch_free(struct branch *branch);

/* The branch at the end of the last block goes to an address. */
void branch_resolve(struct branch *branch, uint32_t address);

/* A block is entered that begins at an address and ends in a branch. */
static inline void branch_enter(struct branch *branch, uint32_t address, const struct branch_end *end)
{
	if (branch->last.kind != BRANCH_NONE || address != branch->last.next)
		branch_resolve(branch, address);
	branch->last = *end;
}

#endif

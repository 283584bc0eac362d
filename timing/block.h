/* SPDX-License-Identifier: GPL-2.0-only */
/* What the model makes of a block of instructions before it is executed. */
#ifndef BLOCK_H
#define BLOCK_H

#include "data.h"
#include "insn.h"

/* Hints from this code to the last one are marks: they do nothing on a core, and are told to the host here. */
enum { MARK_FIRST = 0x80, MARK_LAST = 0xbf };

static inline bool insn_is_mark(const struct insn *insn)
{
	return insn->class == INSN_HINT && insn->hint >= MARK_FIRST && insn->hint <= MARK_LAST;
}

/* How the load or store at an index of a block stands to the other loads there. */
enum access block_access(const struct insn *insns, size_t n, size_t at);

/* What the block's loads are to those of the block behind it. */
struct loads block_loads(const struct insn *insns, size_t n);

/*
 * Whether the instructions up to and with this one are to be counted when it is executed: what follows it may not be, since it may
 * fault, or somebody looks at the count.
 */
bool block_counts_at(const struct insn *insns, size_t n, size_t at);

#endif

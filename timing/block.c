// SPDX-License-Identifier: GPL-2.0-only
#include "block.h"

/* Registers that a load brings, without the base that it may step. */
static uint64_t brought(const struct insn *insn)
{
	return insn->class == INSN_LOAD ? insn->writes & ~insn->updates : 0;
}

/* Whether what forms the address was brought by a load and has not been touched since; a block may well be a loop. */
static bool comes_from_load(const struct insn *insns, size_t n, size_t at)
{
	size_t steps, i = at;

	for (steps = 0; steps < n; steps++) {
		i = i ? i - 1 : n - 1;
		if (insns[i].writes & insns[at].address)
			return brought(&insns[i]) & insns[at].address;
	}
	return false;
}

/* Whether the load before it is not waited for by anything up to it. */
static bool is_beside(const struct insn *insns, size_t at)
{
	uint64_t read = insns[at].reads;
	size_t i;

	for (i = at; i-- > 0;) {
		if (insns[i].class == INSN_LOAD && insns[i].transfers)
			return !(brought(&insns[i]) & read);
		read |= insns[i].reads;
	}
	return false;
}

enum access block_access(const struct insn *insns, size_t n, size_t at)
{
	if (insns[at].class == INSN_STORE)
		return ACCESS_STORE;
	if (is_beside(insns, at))
		return ACCESS_BESIDE;
	return comes_from_load(insns, n, at) ? ACCESS_FROM : ACCESS_AFTER;
}

bool block_counts_at(const struct insn *insns, size_t n, size_t at)
{
	const struct insn *insn = &insns[at];

	return at + 1 == n || insn->class == INSN_LOAD || insn->class == INSN_STORE || insn->class == INSN_SYSTEM ||
	       insn->special != SPECIAL_NONE || insn_is_mark(insn);
}

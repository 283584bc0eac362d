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

static bool is_load(const struct insn *insn)
{
	return insn->class == INSN_LOAD && insn->transfers;
}

enum access block_access(const struct insn *insns, size_t n, size_t at)
{
	enum access alone = comes_from_load(insns, n, at) ? ACCESS_FROM : ACCESS_AFTER;
	uint64_t read = insns[at].reads;
	size_t i;

	if (insns[at].class == INSN_STORE)
		return ACCESS_STORE;
	for (i = at; i-- > 0;) {
		if (is_load(&insns[i]))
			return brought(&insns[i]) & read ? alone : ACCESS_BESIDE;
		read |= insns[i].reads;
	}
	return alone | ACCESS_FIRST;
}

struct loads block_loads(const struct insn *insns, size_t n)
{
	struct loads loads = { 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		if (!loads.any)
			loads.before |= insns[i].reads;
		if (loads.open & insns[i].reads)
			loads.open = 0;
		if (is_load(&insns[i])) {
			loads.any = true;
			loads.open = brought(&insns[i]);
		}
	}
	return loads;
}

bool block_counts_at(const struct insn *insns, size_t n, size_t at)
{
	const struct insn *insn = &insns[at];

	return at + 1 == n || insn->class == INSN_LOAD || insn->class == INSN_STORE || insn->class == INSN_SYSTEM ||
	       insn->special != SPECIAL_NONE || insn_is_mark(insn);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Static cost of straight code on an in-order pipeline that issues one or two instructions a cycle.
 *
 * All L1 accesses hit and all branches are predicted: what misses cost is added by others. Integers only, so that every
 * compiler gives the same times.
 */
#ifndef PIPELINE_H
#define PIPELINE_H

#include <stddef.h>

#include "insn.h"

/*
 * The numbers of a core, in cycles from issue until a dependent instruction may issue (its latency), but:
 * address_cycles	what an address waits in addition for the register that forms it
 * shift_cycles		from a shifted operand to the result; the other operand takes alu_cycles
 * branch_cycles	added by each taken (or conditional) branch that ends a block
 * system_cycles	that nothing else issues in
 * issue_width		instructions a cycle, 1 or 2
 * fp_issue_width	instructions a cycle when one of them is VFP or NEON, 1 or 2
 */
#define PIPELINE_NUMBERS(X) \
	X(alu_cycles) \
	X(shift_cycles) \
	X(mul_cycles) \
	X(mul_long_cycles) \
	X(div_cycles) \
	X(load_cycles) \
	X(address_cycles) \
	X(fp_add_cycles) \
	X(fp_mul_cycles) \
	X(fp_mac_cycles) \
	X(fp_div32_cycles) \
	X(fp_div64_cycles) \
	X(fp_move_cycles) \
	X(fp_load_cycles) \
	X(neon_cycles) \
	X(branch_cycles) \
	X(system_cycles) \
	X(issue_width) \
	X(fp_issue_width)

struct pipeline_numbers {
#define PIPELINE_MEMBER(name) uint32_t name;
	PIPELINE_NUMBERS(PIPELINE_MEMBER)
#undef PIPELINE_MEMBER
};

/* Cycles that a block of n instructions takes when it follows itself or another; at least 1 for a block of one or more. */
unsigned int pipeline_cycles(const struct pipeline_numbers *numbers, const struct insn *insns, size_t n);

#endif

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
 * The numbers of a core. Those in cycles are from the issue of an instruction until an ALU operation that uses its result
 * may issue, but:
 * shift_cycles		of a shifted operand; the other one takes alu_cycles
 * address_cycles	added when the result forms an address
 * load_cycles		a hit in L1; of several words, from the last two on
 * fp_mac_cycles	from the factors; from the sum they are added to it takes fp_add_cycles
 * branch_cycles	added by a block that ends in a branch, taken or not
 * system_cycles	in which nothing else issues
 * The widths are instructions a cycle, 1 or 2; fp_issue_width when one of them is VFP or NEON, and also the doublewords
 * that NEON computes in a cycle.
 */
#define PIPELINE_NUMBERS(X) \
	X(alu_cycles) \
	X(shift_cycles) \
	X(mul_cycles) \
	X(mul_long_cycles) \
	X(div_cycles) \
	X(load_cycles) \
	X(address_cycles) \
	X(pointer_cycles) \
	X(factor_cycles) \
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

/*
 * Cycles of a block of n instructions: until the one after it can issue, not until all results are there. A block that
 * branches to its own beginning is taken to follow itself, all others to find all registers ready. At least 1 if n is.
 */
unsigned int pipeline_cycles(const struct pipeline_numbers *numbers, const struct insn *insns, size_t n);

#endif

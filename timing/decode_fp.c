// SPDX-License-Identifier: GPL-2.0-only
/* VFP and transfers to and from core registers: sections A7.5, A7.6, A7.8 and A7.9; coprocessors 14 and 15. */
#include "decode_parts.h"

/* A VFP register: the single one whose lowest bit is apart, or the double one whose highest bit is. */
static uint64_t vfp_register(uint32_t word, unsigned int low, unsigned int apart, bool is_double)
{
	if (is_double)
		return reg_bit(REG_D0 + (field(word, apart, 1) << 4 | field(word, low, 4)));
	return reg_bit(REG_D0 + field(word, low, 4)); /* s2n and s2n+1 are dn */
}

/* What follows from bits 16 to 19 when bits 20, 21 and 23 are set. */
static bool other_operation(uint32_t word, struct insn *insn)
{
	bool is_double = bit(word, 8), upper = bit(word, 7);
	uint64_t result = vfp_register(word, 12, 22, is_double), operand = vfp_register(word, 0, 5, is_double);
	uint64_t single_result = vfp_register(word, 12, 22, false), single = vfp_register(word, 0, 5, false);

	if (!bit(word, 6)) /* VMOV of an immediate */
		return set(insn, INSN_FP_MOVE, 0, result);
	switch (field(word, 16, 4)) {
	case 0: case 1:
		if (upper && bit(word, 16)) /* VSQRT */
			return set(insn, is_double ? INSN_FP_DIV64 : INSN_FP_DIV32, operand, result);
		return set(insn, INSN_FP_MOVE, operand, result); /* VMOV, VABS, VNEG */
	case 2: case 3: /* VCVTB, VCVTT, which keep the other half */
		return !is_double && set(insn, INSN_FP_ADD, operand | result, result);
	case 4: /* VCMP */
		return set(insn, INSN_FP_ADD, operand | result, reg_bit(REG_FPSCR));
	case 5: /* VCMP with 0 */
		return set(insn, INSN_FP_ADD, result, reg_bit(REG_FPSCR));
	case 7: /* VCVT between single and double */
		return upper && set(insn, INSN_FP_ADD, operand, vfp_register(word, 12, 22, !is_double));
	case 8: /* VCVT from an integer */
		return set(insn, INSN_FP_ADD, single, result);
	case 10: case 11: case 14: case 15: /* VCVT with fixed point, in place */
		return set(insn, INSN_FP_ADD, result, result);
	case 12: case 13: /* VCVT to an integer */
		return set(insn, INSN_FP_ADD, operand, single_result);
	}
	return false;
}

static bool data_processing(uint32_t word, struct insn *insn)
{
	bool is_double = bit(word, 8);
	uint64_t result = vfp_register(word, 12, 22, is_double);
	uint64_t reads = vfp_register(word, 16, 7, is_double) | vfp_register(word, 0, 5, is_double);

	switch (field(word, 23, 1) << 2 | field(word, 20, 2)) {
	case 0: case 1: /* VMLA, VMLS, VNMLA, VNMLS */
	case 5: case 6: /* VFNMA, VFNMS, VFMA, VFMS */
		return set_accumulating(insn, INSN_FP_MAC, reads, result, result);
	case 2: /* VMUL, VNMUL */
		return set(insn, INSN_FP_MUL, reads, result);
	case 3: /* VADD, VSUB */
		return set(insn, INSN_FP_ADD, reads, result);
	case 4: /* VDIV */
		return !bit(word, 6) && set(insn, is_double ? INSN_FP_DIV64 : INSN_FP_DIV32, reads, result);
	default:
		return other_operation(word, insn);
	}
}

/* Between one core register and a VFP register, a part of one, or FPSCR. */
static bool transfer(uint32_t word, struct insn *insn)
{
	bool to_core = bit(word, 20), is_double = bit(word, 8);
	uint64_t core = reg_at(word, 12), vector = vfp_register(word, 16, 7, is_double);
	unsigned int op = field(word, 21, 3);

	if (is_double) {
		if (to_core)
			return set(insn, INSN_FP_MOVE, vector, core);
		if (op < 4) /* VMOV keeps the rest of the register */
			return set(insn, INSN_FP_MOVE, core | vector, vector);
		return !bit(word, 6) && set(insn, INSN_FP_MOVE, core, bit(word, 21) ? vector | vector << 1 : vector);
	}
	if (op == 7 && field(word, 16, 4) != 1) /* VMRS, VMSR of other system registers */
		return set(insn, INSN_SYSTEM, to_core ? 0 : core, to_core ? core : 0);
	if (op == 7 && to_core)
		return set(insn, INSN_FP_MOVE, reg_bit(REG_FPSCR),
			   field(word, 12, 4) == 15 ? reg_bit(REG_FLAGS) : core);
	if (op == 7)
		return set(insn, INSN_FP_MOVE, core, reg_bit(REG_FPSCR));
	return op == 0 && set(insn, INSN_FP_MOVE, to_core ? vector : core, to_core ? core : vector);
}

/* Between two core registers and one double or two single ones. */
static bool transfer_two(uint32_t word, struct insn *insn)
{
	uint64_t core = reg_at(word, 12) | reg_at(word, 16), vector = vfp_register(word, 0, 5, bit(word, 8));

	if (field(word, 6, 2) || !bit(word, 4))
		return false;
	if (!bit(word, 8) && bit(word, 5)) /* an odd single one and the next */
		vector |= vector << 1;
	return set(insn, INSN_FP_MOVE, bit(word, 20) ? vector : core, bit(word, 20) ? core : vector);
}

static bool load_store(uint32_t word, struct insn *insn)
{
	bool is_double = bit(word, 8), one = bit(word, 24) && !bit(word, 21);
	uint64_t base = reg_at(word, 16), list = 0;
	unsigned int words = one ? 1u + is_double : field(word, 0, 8);
	unsigned int first = is_double ? field(word, 22, 1) << 4 | field(word, 12, 4) :
					 field(word, 12, 4) << 1 | field(word, 22, 1);

	if (is_double)
		words &= ~1u; /* odd ones are the obsolete FLDMX and FSTMX */
	for (unsigned int i = 0; i < words; i++) {
		unsigned int number = is_double ? first + i / 2 : (first + i) / 2;

		if (number > 31)
			return false;
		list |= reg_bit(REG_D0 + number);
	}
	insn->fp = true;
	if (bit(word, 21))
		set_update(insn, base);
	return bit(word, 20) ? set_load(insn, base, list, words) : set_store(insn, base, list, words);
}

bool decode_vfp(uint32_t word, struct insn *insn)
{
	if (bit(word, 25))
		return bit(word, 4) ? transfer(word, insn) : data_processing(word, insn);
	if (!bit(word, 24) && !bit(word, 23) && !bit(word, 21))
		return bit(word, 22) && transfer_two(word, insn);
	if (bit(word, 24) && bit(word, 23) && bit(word, 21))
		return false;
	return load_store(word, insn);
}

/* ---- coprocessors 14 and 15 */

static enum insn_special special_of_mcr(uint32_t word)
{
	unsigned int crn = field(word, 16, 4), crm = field(word, 0, 4), op1 = field(word, 21, 3), op2 = field(word, 5, 3);

	if (crn == 8) {
		if (op1 == 4) /* of Hyp mode */
			return op2 == 1 || op2 == 5 ? SPECIAL_TLB_ADDRESS : SPECIAL_TLB_ALL;
		return op2 == 0 ? SPECIAL_TLB_ALL : op2 == 2 ? SPECIAL_TLB_ASID : SPECIAL_TLB_ADDRESS;
	}
	if (crn == 2 && crm == 0 && op1 == 0 && op2 == 0)
		return SPECIAL_TTBR0;
	if (crn == 13 && crm == 0 && op1 == 0 && op2 == 1)
		return SPECIAL_CONTEXTIDR;
	return SPECIAL_NONE;
}

static bool move_two(uint32_t word, struct insn *insn)
{
	uint64_t core = reg_at(word, 12) | reg_at(word, 16);
	unsigned int op1 = field(word, 4, 4), crm = field(word, 0, 4);
	bool from = bit(word, 20);

	if (field(word, 8, 4) == 15) {
		if (from && crm == 14 && op1 < 2) /* CNTPCT, CNTVCT */
			insn->special = SPECIAL_COUNTER;
		else if (!from && crm == 2 && op1 == 0)
			insn->special = SPECIAL_TTBR0;
	}
	return set(insn, INSN_SYSTEM, from ? 0 : core, from ? core : 0);
}

static bool move_one(uint32_t word, struct insn *insn)
{
	uint64_t core = reg_at(word, 12);

	if (bit(word, 20))
		return set(insn, INSN_SYSTEM, 0, field(word, 12, 4) == 15 ? reg_bit(REG_FLAGS) : core);
	if (field(word, 8, 4) == 15)
		insn->special = special_of_mcr(word);
	return set(insn, INSN_SYSTEM, core, 0);
}

bool decode_coprocessor(uint32_t word, struct insn *insn)
{
	unsigned int number = field(word, 8, 4);

	if (number == 10 || number == 11)
		return decode_vfp(word, insn);
	if (bit(word, 25))
		return number >= 14 && bit(word, 4) && move_one(word, insn);
	if (!bit(word, 24) && !bit(word, 23) && !bit(word, 21))
		return number >= 14 && bit(word, 22) && move_two(word, insn);
	/* LDC, STC: setjmp of the C library has them for a coprocessor that no such core has, and jumps over them */
	if (bit(word, 21))
		set_update(insn, reg_at(word, 16));
	return bit(word, 20) ? set_load(insn, reg_at(word, 16), 0, 1) : set_store(insn, reg_at(word, 16), 0, 1);
}

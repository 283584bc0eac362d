// SPDX-License-Identifier: GPL-2.0-only
/* The 16-bit instructions of T32: section A6.2 of the architecture manual, table by table. */
#include "decode_parts.h"

static uint64_t low_at(uint32_t word, unsigned int low)
{
	return reg_bit(field(word, low, 3));
}

static bool shift_add_compare(uint32_t word, struct insn *insn)
{
	uint64_t flags = reg_bit(REG_FLAGS), large = low_at(word, 8);

	switch (field(word, 11, 3)) {
	case 3: /* ADD, SUB with a register or three bits */
		return set(insn, INSN_ALU, low_at(word, 3) | (bit(word, 10) ? 0 : low_at(word, 6)),
			   low_at(word, 0) | flags);
	case 4: /* MOV */
		return set(insn, INSN_ALU, 0, large | flags);
	case 5: /* CMP */
		return set(insn, INSN_ALU, large, flags);
	case 6: case 7: /* ADD, SUB */
		return set(insn, INSN_ALU, large, large | flags);
	default: /* shifts */
		return set(insn, INSN_ALU, low_at(word, 3), low_at(word, 0) | flags);
	}
}

static bool low_data_processing(uint32_t word, struct insn *insn)
{
	uint64_t first = low_at(word, 0), second = low_at(word, 3), flags = reg_bit(REG_FLAGS);

	switch (field(word, 6, 4)) {
	case 5: case 6: /* ADC, SBC */
		return set(insn, INSN_ALU, first | second | flags, first | flags);
	case 8: case 10: case 11: /* TST, CMP, CMN */
		return set(insn, INSN_ALU, first | second, flags);
	case 9: case 15: /* RSB, MVN */
		return set(insn, INSN_ALU, second, first | flags);
	case 13:
		return set(insn, INSN_MUL, first | second, first | flags);
	default:
		return set(insn, INSN_ALU, first | second, first | flags);
	}
}

static bool high_data_processing(uint32_t word, struct insn *insn)
{
	uint64_t first = reg_bit(field(word, 0, 3) | field(word, 7, 1) << 3), second = reg_at(word, 3);

	switch (field(word, 8, 2)) {
	case 0: /* ADD */
		return set(insn, INSN_ALU, first | second, first);
	case 1: /* CMP */
		return set(insn, INSN_ALU, first | second, reg_bit(REG_FLAGS));
	case 2: /* MOV */
		return set(insn, INSN_ALU, second, first);
	default: /* BX, BLX */
		return set_branch(insn, second, bit(word, 7), 0);
	}
}

static bool push_or_pop(uint32_t word, struct insn *insn)
{
	uint64_t base = reg_bit(REG_SP), list = field(word, 0, 8);

	set_update(insn, base);
	if (bit(word, 11))
		return set_load(insn, base, list | (bit(word, 8) ? reg_bit(REG_PC) : 0), count_bits(word & 0x1ff));
	return set_store(insn, base, list | (bit(word, 8) ? reg_bit(REG_LR) : 0), count_bits(word & 0x1ff));
}

static bool it_or_hint(uint32_t word, struct insn *insn)
{
	uint32_t mask = field(word, 0, 4);

	if (!mask)
		return set_hint(insn, field(word, 4, 4));
	insn->covers = mask & 1 ? 4 : mask & 2 ? 3 : mask & 4 ? 2 : 1;
	return set(insn, INSN_HINT, 0, 0);
}

static bool miscellaneous(uint32_t word, struct insn *insn)
{
	switch (field(word, 8, 4)) {
	case 0: /* ADD, SUB of SP */
		return set(insn, INSN_ALU, reg_bit(REG_SP), reg_bit(REG_SP));
	case 1: case 3: case 9: case 11: /* CBZ, CBNZ */
		insn->conditional = true;
		return set_branch(insn, low_at(word, 0), false, (field(word, 9, 1) << 6 | field(word, 3, 5) << 1) + 4);
	case 2: /* SXTH, SXTB, UXTH, UXTB */
		return set(insn, INSN_ALU, low_at(word, 3), low_at(word, 0));
	case 4: case 5: case 12: case 13:
		return push_or_pop(word, insn);
	case 6: /* SETEND, CPS */
		return field(word, 5, 3) >= 2 && field(word, 5, 3) < 4 && set(insn, INSN_SYSTEM, 0, 0);
	case 10: /* REV, REV16, REVSH */
		return field(word, 6, 2) != 2 && set(insn, INSN_ALU, low_at(word, 3), low_at(word, 0));
	case 14: /* BKPT */
		return set(insn, INSN_SYSTEM, 0, 0);
	case 15:
		return it_or_hint(word, insn);
	}
	return false;
}

static bool low_multiple(uint32_t word, struct insn *insn)
{
	uint64_t base = low_at(word, 8), list = field(word, 0, 8);

	if (!bit(word, 11)) {
		set_update(insn, base);
		return set_store(insn, base, list, count_bits(list));
	}
	if (!(base & list))
		set_update(insn, base);
	return set_load(insn, base, list, count_bits(list));
}

static bool branch_or_call(uint32_t word, struct insn *insn)
{
	unsigned int condition = field(word, 8, 4);

	if (condition >= 14) /* UDF, SVC */
		return set(insn, INSN_SYSTEM, 0, 0);
	insn->conditional = true;
	return set_branch(insn, reg_bit(REG_FLAGS), false, sign_extend(field(word, 0, 8), 8) * 2 + 4);
}

bool decode_t16(uint32_t word, struct insn *insn)
{
	uint64_t moved = low_at(word, 0), address = low_at(word, 3), large = low_at(word, 8);

	switch (field(word, 12, 4)) {
	case 0: case 1: case 2: case 3:
		return shift_add_compare(word, insn);
	case 4:
		if (bit(word, 11)) /* LDR of a literal */
			return set_load(insn, reg_bit(REG_PC), large, 1);
		return bit(word, 10) ? high_data_processing(word, insn) : low_data_processing(word, insn);
	case 5: /* by register */
		address |= low_at(word, 6);
		if (field(word, 9, 3) >= 3)
			return set_load(insn, address, moved, 1);
		return set_store(insn, address, moved, 1);
	case 9: /* by SP */
		moved = large;
		address = reg_bit(REG_SP);
		/* fall through */
	case 6: case 7: case 8: /* by immediate */
		return bit(word, 11) ? set_load(insn, address, moved, 1) : set_store(insn, address, moved, 1);
	case 10: /* ADR, ADD of SP */
		return set(insn, INSN_ALU, reg_bit(bit(word, 11) ? REG_SP : REG_PC), large);
	case 11:
		return miscellaneous(word, insn);
	case 12:
		return low_multiple(word, insn);
	case 13:
		return branch_or_call(word, insn);
	case 14:
		return !bit(word, 11) && set_branch(insn, 0, false, sign_extend(field(word, 0, 11), 11) * 2 + 4);
	}
	return false;
}

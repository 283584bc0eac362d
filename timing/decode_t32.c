// SPDX-License-Identifier: GPL-2.0-only
/* The 32-bit instructions of T32: section A6.3 of the architecture manual, table by table. */
#include "decode_parts.h"

/* ---- data processing */

/* What the operation of bits 21 to 24 reads beside its second operand, and what it writes; false if there is none. */
static bool operation(uint32_t word, uint64_t *reads, uint64_t *writes)
{
	unsigned int opcode = field(word, 21, 4);
	bool compares = bit(word, 20) && field(word, 8, 4) == 15;

	if (opcode > 14 || (0x12a0 >> opcode & 1)) /* 5, 7, 9, 12 and 15 are none */
		return false;
	if (compares && opcode != 0 && opcode != 4 && opcode != 8 && opcode != 13)
		return false;
	/* MOV and MVN are ORR and ORN without a first operand */
	*reads = opcode == 2 || opcode == 3 ? reg_or_none(word, 16) : reg_at(word, 16);
	*reads |= flags_if(opcode == 10 || opcode == 11);
	*writes = (compares ? 0 : reg_at(word, 8)) | flags_if(bit(word, 20));
	return true;
}

static bool data_shifted(uint32_t word, struct insn *insn)
{
	unsigned int type = field(word, 4, 2), amount = field(word, 12, 3) << 2 | field(word, 6, 2);
	bool moves = field(word, 21, 4) == 2 && field(word, 16, 4) == 15; /* MOV, or a shift by itself */
	uint64_t reads, writes, operand = reg_at(word, 0);

	if (field(word, 21, 4) == 6) { /* PKHBT, PKHTB */
		if (bit(word, 20) || bit(word, 4))
			return false;
		reads = reg_at(word, 16);
		writes = reg_at(word, 8);
	} else if (!operation(word, &reads, &writes)) {
		return false;
	}
	if (type == 3 && !amount) /* RRX */
		reads |= reg_bit(REG_FLAGS);
	if (moves || (!type && !amount))
		return set(insn, INSN_ALU, reads | operand, writes);
	return set_shifting(insn, operand, reads, writes);
}

static bool data_modified_immediate(uint32_t word, struct insn *insn)
{
	uint64_t reads, writes;

	return field(word, 21, 4) != 6 && operation(word, &reads, &writes) && set(insn, INSN_ALU, reads, writes);
}

static bool data_plain_immediate(uint32_t word, struct insn *insn)
{
	uint64_t operand = reg_at(word, 16), result = reg_at(word, 8);

	switch (field(word, 20, 5)) {
	case 0: case 10: /* ADDW, SUBW, ADR */
	case 16: case 18: case 24: case 26: /* SSAT, USAT, SSAT16, USAT16 */
	case 20: case 28: /* SBFX, UBFX */
		return set(insn, INSN_ALU, operand, result);
	case 4: /* MOVW */
		return set(insn, INSN_ALU, 0, result);
	case 12: /* MOVT */
		return set(insn, INSN_ALU, result, result);
	case 22: /* BFC, BFI */
		return set(insn, INSN_ALU, reg_or_none(word, 16) | result, result);
	}
	return false;
}

/* Shifts, extensions, parallel addition, saturation, bit and byte order. */
static bool data_register(uint32_t word, struct insn *insn)
{
	unsigned int op = field(word, 20, 4), op2 = field(word, 4, 4);
	uint64_t first = reg_at(word, 16), second = reg_at(word, 0), result = reg_at(word, 8);

	if (field(word, 12, 4) != 15)
		return false;
	if (op < 8 && op2 == 0)
		return set(insn, INSN_ALU, first | second, result | flags_if(bit(word, 20)));
	if (op < 6 && op2 >= 8)
		return set(insn, INSN_ALU, reg_or_none(word, 16) | second, result);
	if (op < 8)
		return false;
	if (op2 < 8) /* plain parallel operations set the GE flags */
		return op != 11 && op != 15 && (op2 & 3) != 3 &&
		       set(insn, INSN_ALU, first | second, result | flags_if(!(op2 & 3)));
	if (op == 8 && op2 < 12) /* QADD, QSUB, QDADD, QDSUB */
		return set(insn, INSN_ALU, first | second, result);
	if (op == 9 && op2 < 12) /* REV, REV16, RBIT, REVSH */
		return set(insn, INSN_ALU, second, result);
	if (op == 10 && op2 == 8) /* SEL */
		return set(insn, INSN_ALU, first | second | reg_bit(REG_FLAGS), result);
	return op == 11 && op2 == 8 && set(insn, INSN_ALU, second, result); /* CLZ */
}

static bool multiply(uint32_t word, struct insn *insn)
{
	uint64_t reads = reg_at(word, 16) | reg_at(word, 0);
	unsigned int op = field(word, 20, 3), op2 = field(word, 4, 4);

	if (op2 > 3 || (op2 > 1 && op != 1) || (op == 7 && op2))
		return false;
	return set_accumulating(insn, INSN_MUL, reads, reg_or_none(word, 12), reg_at(word, 8));
}

static bool long_multiply_or_divide(uint32_t word, struct insn *insn)
{
	uint64_t reads = reg_at(word, 16) | reg_at(word, 0), high = reg_at(word, 8), low = reg_at(word, 12);
	unsigned int op = field(word, 20, 3), op2 = field(word, 4, 4);

	if ((op == 0 || op == 2) && op2 == 0) /* SMULL, UMULL */
		return set(insn, INSN_MUL_LONG, reads, high | low);
	if (op == 1 || op == 3) /* SDIV, UDIV */
		return op2 == 15 && set(insn, INSN_DIV, reads, high);
	if ((op == 4 && (op2 == 0 || (op2 >= 8 && op2 < 14))) || /* SMLAL, SMLALxy, SMLALD */
	    (op == 5 && op2 >= 12 && op2 < 14) || /* SMLSLD */
	    (op == 6 && (op2 == 0 || op2 == 6))) /* UMLAL, UMAAL */
		return set_accumulating(insn, INSN_MUL_LONG, reads, high | low, high | low);
	return false;
}

/* ---- loads and stores */

static bool load_store_multiple(uint32_t word, struct insn *insn)
{
	uint64_t base = reg_at(word, 16), list = field(word, 0, 16);

	if (bit(word, 21))
		set_update(insn, base);
	if (bit(word, 24) != bit(word, 23))
		return bit(word, 20) ? set_load(insn, base, list, count_bits(list)) :
				       set_store(insn, base, list, count_bits(list));
	if (bit(word, 20)) /* RFE */
		return set_load(insn, base, reg_bit(REG_PC) | reg_bit(REG_FLAGS), 2);
	return set_store(insn, base, reg_bit(REG_LR), 2); /* SRS */
}

static bool exclusive_or_table(uint32_t word, struct insn *insn)
{
	uint64_t base = reg_at(word, 16), moved = reg_at(word, 12), other = reg_at(word, 8);
	unsigned int op = bit(word, 23) ? field(word, 4, 4) : 0;

	if (bit(word, 23) && bit(word, 20) && op < 2) { /* TBB, TBH */
		insn->address = base | reg_at(word, 0);
		return set_branch(insn, insn->address, false, 0);
	}
	if (bit(word, 23) && (op < 4 || op == 6 || op > 7))
		return false;
	if (op == 7)
		moved |= other;
	if (bit(word, 20))
		return set_load(insn, base, moved, op == 7 ? 2 : 1);
	set_store(insn, base, moved, op == 7 ? 2 : 1);
	insn->writes = bit(word, 23) ? reg_at(word, 0) : other;
	return true;
}

static bool load_store_dual(uint32_t word, struct insn *insn)
{
	uint64_t base = reg_at(word, 16), moved = reg_at(word, 12) | reg_at(word, 8);

	if (!bit(word, 24) && !bit(word, 21))
		return exclusive_or_table(word, insn);
	if (bit(word, 21))
		set_update(insn, base);
	return bit(word, 20) ? set_load(insn, base, moved, 2) : set_store(insn, base, moved, 2);
}

static bool load_store_single(uint32_t word, struct insn *insn)
{
	uint64_t address = reg_at(word, 16), moved = reg_at(word, 12);
	bool literal = field(word, 16, 4) == 15;

	if (field(word, 21, 2) == 3 || (bit(word, 24) && (field(word, 21, 2) == 2 || !bit(word, 20))))
		return false;
	if (!literal && !bit(word, 23)) {
		if (!bit(word, 11)) {
			if (field(word, 6, 6))
				return false;
			address |= reg_at(word, 0);
		} else if (bit(word, 8)) {
			set_update(insn, address);
		} else if (!bit(word, 10)) {
			return false;
		}
	}
	if (!bit(word, 20))
		return !literal && set_store(insn, address, moved, 1);
	if (field(word, 12, 4) == 15 && field(word, 21, 2) < 2) /* PLD, PLDW, PLI */
		return set_load(insn, address, 0, 0);
	return set_load(insn, address, moved, 1);
}

/* ---- branches and system */

static bool system_control(uint32_t word, struct insn *insn)
{
	unsigned int op = field(word, 20, 7), op2 = field(word, 4, 4);

	switch (op) {
	case 0x38: case 0x39: /* MSR */
		return set(insn, INSN_SYSTEM, reg_at(word, 16), flags_if(op == 0x38 && !bit(word, 5) && bit(word, 11)));
	case 0x3a: /* CPS, or hints */
		if (field(word, 8, 3))
			return set(insn, INSN_SYSTEM, 0, 0);
		return set_hint(insn, field(word, 0, 8));
	case 0x3b: /* CLREX, DSB, DMB, ISB */
		return (op2 == 2 || (op2 >= 4 && op2 <= 6)) && set(insn, INSN_SYSTEM, 0, 0);
	case 0x3c: /* BXJ */
		return set_branch(insn, reg_at(word, 16), false, 0);
	case 0x3d: /* SUBS PC, LR and ERET */
		return set(insn, INSN_SYSTEM, reg_bit(REG_LR), reg_bit(REG_PC) | reg_bit(REG_FLAGS));
	case 0x3e: case 0x3f: /* MRS */
		return set(insn, INSN_SYSTEM, flags_if(op == 0x3e && !bit(word, 5)), reg_at(word, 8));
	case 0x7e: case 0x7f: /* HVC, SMC, UDF */
		return set(insn, INSN_SYSTEM, 0, 0);
	}
	return false;
}

static bool branch_or_system(uint32_t word, struct insn *insn)
{
	uint32_t sign = field(word, 26, 1), j1 = field(word, 13, 1), j2 = field(word, 11, 1);
	uint32_t low = field(word, 0, 11) << 1;
	int32_t far = sign_extend(sign << 24 | (j1 == sign) << 23 | (j2 == sign) << 22 | field(word, 16, 10) << 12 | low, 25);

	if (bit(word, 14) && !bit(word, 12)) /* BLX, to A32 */
		return set_branch(insn, 0, true, 0);
	if (bit(word, 12)) /* B, BL */
		return set_branch(insn, 0, bit(word, 14), far + 4);
	if (field(word, 23, 3) == 7)
		return system_control(word, insn);
	insn->conditional = true;
	return set_branch(insn, reg_bit(REG_FLAGS), false,
			  sign_extend(sign << 20 | j2 << 19 | j1 << 18 | field(word, 16, 6) << 12 | low, 21) + 4);
}

/* In A32's encoding but for the first byte of Advanced SIMD. */
static bool coprocessor(uint32_t word, struct insn *insn)
{
	if (field(word, 24, 4) == 15)
		return decode_neon((word & 0x00ffffff) | 0xf2000000 | bit(word, 28) << 24, insn);
	return !bit(word, 28) && decode_coprocessor(word, insn);
}

static bool decode_32(uint32_t word, struct insn *insn)
{
	unsigned int op = field(word, 20, 7);

	switch (field(word, 27, 2)) {
	case 1:
		if (op >> 5 == 0)
			return bit(word, 22) ? load_store_dual(word, insn) : load_store_multiple(word, insn);
		if (op >> 5 == 1)
			return data_shifted(word, insn);
		return coprocessor(word, insn);
	case 2:
		if (bit(word, 15))
			return branch_or_system(word, insn);
		return bit(word, 25) ? data_plain_immediate(word, insn) : data_modified_immediate(word, insn);
	case 3:
		break;
	default:
		return false;
	}
	if ((op & 0x71) == 0x10) /* A32's encoding but for the first byte */
		return decode_neon_memory((word & 0x00ffffff) | 0xf4000000, insn);
	if (op >> 5 == 0)
		return load_store_single(word, insn);
	if (op >> 4 == 2)
		return data_register(word, insn);
	if (op >> 3 == 6)
		return multiply(word, insn);
	if (op >> 3 == 7)
		return long_multiply_or_divide(word, insn);
	return coprocessor(word, insn);
}

bool decode_t32(uint32_t word, unsigned int length, struct insn *insn)
{
	bool known;

	insn_clear(insn, length);
	known = length == 2 ? decode_t16(word, insn) : decode_32(word, insn);
	if (!known)
		insn_clear(insn, length);
	return known;
}

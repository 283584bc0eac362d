// SPDX-License-Identifier: GPL-2.0-only
/* A32: chapter A5 of the architecture manual, table by table. */
#include "decode_parts.h"

/* The second operand of data processing, a register that is shifted by an immediate or by another register. */
static bool data_register(uint32_t word, struct insn *insn, uint64_t reads, uint64_t writes)
{
	bool moves = field(word, 21, 4) == 13; /* MOV, or a shift by itself */
	unsigned int type = field(word, 5, 2), amount = field(word, 7, 5);
	uint64_t operand = reg_at(word, 0);

	if (bit(word, 4))
		operand |= reg_at(word, 8);
	else if (type == 3 && !amount) /* RRX */
		reads |= reg_bit(REG_FLAGS);
	if (moves || (!bit(word, 4) && !type && !amount))
		return set(insn, INSN_ALU, reads | operand, writes);
	return set_shifting(insn, operand, reads, writes);
}

static bool data_processing(uint32_t word, struct insn *insn)
{
	unsigned int opcode = field(word, 21, 4);
	bool compares = opcode >= 8 && opcode < 12, moves = opcode == 13 || opcode == 15;
	bool with_carry = opcode >= 5 && opcode < 8;
	uint64_t reads = (moves ? 0 : reg_at(word, 16)) | flags_if(with_carry);
	uint64_t writes = (compares ? 0 : reg_at(word, 12)) | flags_if(bit(word, 20));

	if (!bit(word, 25))
		return data_register(word, insn, reads, writes);
	return set(insn, INSN_ALU, reads, writes);
}

static bool multiply(uint32_t word, struct insn *insn)
{
	uint64_t reads = reg_at(word, 0) | reg_at(word, 8), high = reg_at(word, 16), low = reg_at(word, 12);
	uint64_t flags = flags_if(bit(word, 20));

	switch (field(word, 20, 4)) {
	case 0: case 1: /* MUL */
		return set(insn, INSN_MUL, reads, high | flags);
	case 2: case 3: case 6: /* MLA, MLS */
		return set_accumulating(insn, INSN_MUL, reads, low, high | flags);
	case 4: /* UMAAL */
	case 10: case 11: case 14: case 15: /* UMLAL, SMLAL */
		return set_accumulating(insn, INSN_MUL_LONG, reads, high | low, high | low | flags);
	case 8: case 9: case 12: case 13: /* UMULL, SMULL */
		return set(insn, INSN_MUL_LONG, reads, high | low | flags);
	}
	return false;
}

static bool halfword_multiply(uint32_t word, struct insn *insn)
{
	uint64_t reads = reg_at(word, 0) | reg_at(word, 8), high = reg_at(word, 16), low = reg_at(word, 12);

	switch (field(word, 21, 2)) {
	case 0: /* SMLAxy */
		return set_accumulating(insn, INSN_MUL, reads, low, high);
	case 1: /* SMULWy, SMLAWy */
		return set_accumulating(insn, INSN_MUL, reads, bit(word, 5) ? 0 : low, high);
	case 2: /* SMLALxy */
		return set_accumulating(insn, INSN_MUL_LONG, reads, high | low, high | low);
	default: /* SMULxy */
		return set(insn, INSN_MUL, reads, high);
	}
}

static bool exclusive(uint32_t word, struct insn *insn)
{
	uint64_t address = reg_at(word, 16), loaded = reg_at(word, 12), stored = reg_at(word, 0);
	unsigned int op = field(word, 20, 4), words = op >> 1 == 5 ? 2 : 1;

	if (op == 0 || op == 4) { /* SWP, SWPB */
		set_load(insn, address, loaded, 1);
		insn->data = stored;
		insn->reads |= stored;
		return true;
	}
	if (op < 8 || field(word, 8, 4) != 15)
		return false;
	if (bit(word, 20))
		return set_load(insn, address, words == 2 ? loaded | loaded << 1 : loaded, words);
	set_store(insn, address, words == 2 ? stored | stored << 1 : stored, words);
	insn->writes = loaded;
	return true;
}

static uint64_t base_of(uint32_t word, struct insn *insn)
{
	if (!bit(word, 24) || bit(word, 21))
		set_update(insn, reg_at(word, 16));
	return reg_at(word, 16);
}

/* Halfwords, signed bytes and doublewords. */
static bool extra_load_store(uint32_t word, struct insn *insn)
{
	uint64_t address = base_of(word, insn) | (bit(word, 22) ? 0 : reg_at(word, 0)), moved = reg_at(word, 12);
	unsigned int op = field(word, 5, 2);

	if (bit(word, 20))
		return set_load(insn, address, moved, 1);
	if (op == 2)
		return set_load(insn, address, moved | moved << 1, 2);
	if (op == 3)
		return set_store(insn, address, moved | moved << 1, 2);
	return set_store(insn, address, moved, 1);
}

static bool load_store(uint32_t word, struct insn *insn)
{
	uint64_t address = base_of(word, insn) | (bit(word, 25) ? reg_at(word, 0) : 0), moved = reg_at(word, 12);

	return bit(word, 20) ? set_load(insn, address, moved, 1) : set_store(insn, address, moved, 1);
}

static bool load_store_multiple(uint32_t word, struct insn *insn)
{
	uint64_t base = reg_at(word, 16), list = field(word, 0, 16);

	if (bit(word, 21))
		set_update(insn, base);
	if (!bit(word, 20))
		return set_store(insn, base, list, count_bits(list));
	/* with bit 22 the PC is loaded by an exception return, which brings the flags along */
	return set_load(insn, base, list | flags_if(bit(word, 22) && bit(word, 15)), count_bits(list));
}

static bool status_register(uint32_t word, struct insn *insn)
{
	if (bit(word, 21)) /* MSR; of SPSR and of banked registers no flags are written */
		return set(insn, INSN_SYSTEM, reg_at(word, 0),
			   flags_if(!bit(word, 22) && !bit(word, 9) && bit(word, 19)));
	return set(insn, INSN_SYSTEM, flags_if(!bit(word, 22) && !bit(word, 9)), reg_at(word, 12));
}

static bool miscellaneous(uint32_t word, struct insn *insn)
{
	unsigned int op = field(word, 21, 2);
	uint64_t operand = reg_at(word, 0);

	switch (field(word, 4, 3)) {
	case 0:
		return status_register(word, insn);
	case 1:
		if (op == 1) /* BX */
			return set_branch(insn, operand, false, 0);
		return op == 3 && set(insn, INSN_ALU, operand, reg_at(word, 12)); /* CLZ */
	case 2: /* BXJ */
		return op == 1 && set_branch(insn, operand, false, 0);
	case 3: /* BLX */
		return op == 1 && set_branch(insn, operand, true, 0);
	case 5: /* QADD, QSUB, QDADD, QDSUB */
		return set(insn, INSN_ALU, operand | reg_at(word, 16), reg_at(word, 12));
	case 6: /* ERET */
		return op == 3 && set(insn, INSN_SYSTEM, 0, reg_bit(REG_PC) | reg_bit(REG_FLAGS));
	case 7: /* BKPT, HVC, SMC */
		return op != 0 && set(insn, INSN_SYSTEM, 0, 0);
	}
	return false;
}

static bool data_or_miscellaneous(uint32_t word, struct insn *insn)
{
	bool misc = field(word, 23, 2) == 2 && !bit(word, 20);

	if (bit(word, 7) && bit(word, 4)) {
		if (field(word, 5, 2))
			return extra_load_store(word, insn);
		return bit(word, 24) ? exclusive(word, insn) : multiply(word, insn);
	}
	if (!misc)
		return data_processing(word, insn);
	return bit(word, 7) ? halfword_multiply(word, insn) : miscellaneous(word, insn);
}

static bool data_immediate(uint32_t word, struct insn *insn)
{
	switch (field(word, 20, 5)) {
	case 16: /* MOVW */
		return set(insn, INSN_ALU, 0, reg_at(word, 12));
	case 20: /* MOVT */
		return set(insn, INSN_ALU, reg_at(word, 12), reg_at(word, 12));
	case 18:
		if (!field(word, 16, 4))
			return set_hint(insn, field(word, 0, 8));
		return set(insn, INSN_SYSTEM, 0, flags_if(bit(word, 19))); /* MSR */
	case 22:
		return set(insn, INSN_SYSTEM, 0, 0); /* MSR of SPSR */
	}
	return data_processing(word, insn);
}

/* SXT, UXT, REV, SSAT, USAT, PKH, SEL. */
static bool pack_or_saturate(uint32_t word, struct insn *insn)
{
	uint64_t operand = reg_at(word, 0), result = reg_at(word, 12);
	unsigned int op = field(word, 20, 3), op2 = field(word, 5, 3);

	if (op2 == 3 && op != 1 && op != 5) /* extension, with an addition unless Rn is 15 */
		return set(insn, INSN_ALU, operand | reg_or_none(word, 16), result);
	if (op == 0) {
		if (op2 == 5) /* SEL */
			return set(insn, INSN_ALU, operand | reg_at(word, 16) | reg_bit(REG_FLAGS), result);
		if (op2 & 1)
			return false;
		if (field(word, 7, 5) || bit(word, 6)) /* PKHBT, PKHTB */
			return set_shifting(insn, operand, reg_at(word, 16), result);
		return set(insn, INSN_ALU, operand | reg_at(word, 16), result);
	}
	if (!(op2 & 1) && (op & 2)) /* SSAT, USAT */
		return set(insn, INSN_ALU, operand, result);
	if (op2 == 1 && (op & 2)) /* SSAT16, REV, USAT16, RBIT */
		return set(insn, INSN_ALU, operand, result);
	return op2 == 5 && (op & 3) == 3 && set(insn, INSN_ALU, operand, result); /* REV16, REVSH */
}

/* Multiplications by name and divisions. */
static bool signed_multiply(uint32_t word, struct insn *insn)
{
	uint64_t reads = reg_at(word, 0) | reg_at(word, 8), high = reg_at(word, 16), low = reg_at(word, 12);
	unsigned int op2 = field(word, 5, 3);

	switch (field(word, 20, 3)) {
	case 0: /* SMLAD, SMLSD, SMUAD, SMUSD */
		return op2 < 4 && set_accumulating(insn, INSN_MUL, reads, reg_or_none(word, 12), high);
	case 1: case 3: /* SDIV, UDIV */
		return op2 == 0 && set(insn, INSN_DIV, reads, high);
	case 4: /* SMLALD, SMLSLD */
		return op2 < 4 && set_accumulating(insn, INSN_MUL_LONG, reads, high | low, high | low);
	case 5: /* SMMLA, SMMLS, SMMUL */
		return (op2 < 2 || op2 > 5) && set_accumulating(insn, INSN_MUL, reads, reg_or_none(word, 12), high);
	}
	return false;
}

static bool media(uint32_t word, struct insn *insn)
{
	unsigned int op = field(word, 20, 5), op2 = field(word, 5, 3);
	uint64_t operand = reg_at(word, 0), result = reg_at(word, 12);

	switch (op >> 3) {
	case 0: /* parallel addition and subtraction: plain ones set the GE flags */
		if (!(op & 3) || op2 == 5 || op2 == 6)
			return false;
		return set(insn, INSN_ALU, operand | reg_at(word, 16), result | flags_if((op & 3) == 1));
	case 1:
		return pack_or_saturate(word, insn);
	case 2:
		return signed_multiply(word, insn);
	}
	if (op == 24) /* USAD8, USADA8 */
		return op2 == 0 && set_accumulating(insn, INSN_MUL, operand | reg_at(word, 8),
						    reg_or_none(word, 12), reg_at(word, 16));
	if (op == 31 && op2 == 7) /* UDF */
		return set(insn, INSN_SYSTEM, 0, 0);
	if (op >> 1 == 14) /* BFC, BFI */
		return (op2 & 3) == 0 && set(insn, INSN_ALU, reg_or_none(word, 0) | result, result);
	return op >> 1 != 12 && (op2 & 3) == 2 && set(insn, INSN_ALU, operand, result); /* SBFX, UBFX */
}

static bool preload_or_barrier(uint32_t word, struct insn *insn)
{
	unsigned int op = field(word, 20, 8), op2 = field(word, 4, 4);

	if (op == 0x57) /* CLREX, DSB, DMB, ISB */
		return (op2 == 1 || (op2 >= 4 && op2 <= 6)) && set(insn, INSN_SYSTEM, 0, 0);
	/* PLI, PLD, PLDW, by immediate or register */
	if ((op & 0xd7) == 0x55 || (op & 0xf7) == 0x51 || (op & 0xf7) == 0x45)
		return !(bit(word, 25) && bit(word, 4)) &&
		       set_load(insn, reg_at(word, 16) | (bit(word, 25) ? reg_at(word, 0) : 0), 0, 0);
	if ((op & 0xf7) == 0x65 || (op & 0xf7) == 0x71)
		return !bit(word, 4) && set_load(insn, reg_at(word, 16) | reg_at(word, 0), 0, 0);
	return false;
}

static bool unconditional(uint32_t word, struct insn *insn)
{
	unsigned int op = field(word, 20, 8);

	if (op >> 5 == 1)
		return decode_neon(word, insn);
	if ((op & 0xf1) == 0x40)
		return decode_neon_memory(word, insn);
	if (op == 0x10) /* CPS, SETEND */
		return (!bit(word, 16) || field(word, 4, 4) == 0) && set(insn, INSN_SYSTEM, 0, 0);
	if (op >> 6 == 1)
		return preload_or_barrier(word, insn);
	if (op >> 5 == 5) /* BLX, to T32 */
		return set_branch(insn, 0, true, 0);
	if ((op & 0xe5) == 0x84) { /* SRS */
		set_store(insn, reg_bit(REG_SP), reg_bit(REG_LR), 2);
		if (bit(word, 21))
			set_update(insn, reg_bit(REG_SP));
		return true;
	}
	if ((op & 0xe5) == 0x81) { /* RFE */
		set_load(insn, reg_at(word, 16), reg_bit(REG_PC) | reg_bit(REG_FLAGS), 2);
		if (bit(word, 21))
			set_update(insn, reg_at(word, 16));
		return true;
	}
	return false;
}

static bool conditional(uint32_t word, struct insn *insn)
{
	switch (field(word, 25, 3)) {
	case 0:
		return data_or_miscellaneous(word, insn);
	case 1:
		return data_immediate(word, insn);
	case 2:
		return load_store(word, insn);
	case 3:
		return bit(word, 4) ? media(word, insn) : load_store(word, insn);
	case 4:
		return load_store_multiple(word, insn);
	case 5: /* B, BL */
		return set_branch(insn, 0, bit(word, 24), sign_extend(field(word, 0, 24), 24) * 4 + 8);
	default:
		if (field(word, 24, 4) == 15) /* SVC */
			return set(insn, INSN_SYSTEM, 0, 0);
		return decode_coprocessor(word, insn);
	}
}

bool decode_a32(uint32_t word, struct insn *insn)
{
	bool known;

	insn_clear(insn, 4);
	if (word >> 28 == 15) {
		known = unconditional(word, insn);
	} else {
		known = conditional(word, insn);
		if (word >> 28 < 14) {
			insn->conditional = true;
			insn->reads |= reg_bit(REG_FLAGS);
		}
	}
	if (!known)
		insn_clear(insn, 4);
	return known;
}

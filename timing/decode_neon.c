// SPDX-License-Identifier: GPL-2.0-only
/* Advanced SIMD: sections A7.4 and A7.7 of the architecture manual, table by table. */
#include "decode_parts.h"

/* The doubleword register at the four bits from low on, whose highest bit is apart; or the two that make a quadword. */
static uint64_t vector(uint32_t word, unsigned int low, unsigned int apart, bool quad)
{
	unsigned int number = field(word, apart, 1) << 4 | field(word, low, 4);

	return quad ? (uint64_t)3 << (REG_D0 + (number & 30)) : reg_bit(REG_D0 + number);
}

static uint64_t result_at(uint32_t word, bool quad)
{
	return vector(word, 12, 22, quad);
}

static uint64_t first_at(uint32_t word, bool quad)
{
	return vector(word, 16, 7, quad);
}

static uint64_t second_at(uint32_t word, bool quad)
{
	return vector(word, 0, 5, quad);
}

/* What reads its result only when it accumulates or inserts into it. */
static bool set_neon(struct insn *insn, uint64_t reads, uint64_t result, bool accumulates)
{
	return set_accumulating(insn, INSN_NEON, reads, accumulates ? result : 0, result);
}

static bool three_same(uint32_t word, struct insn *insn)
{
	bool quad = bit(word, 6), upper = bit(word, 4), u = bit(word, 24);
	uint64_t reads = first_at(word, quad) | second_at(word, quad), result = result_at(word, quad);
	bool accumulates;

	switch (field(word, 8, 4)) {
	case 1: /* VBSL, VBIT, VBIF select into what is there; VORR with itself is VMOV */
		accumulates = upper && u && field(word, 20, 2);
		break;
	case 7: /* VABA */
		accumulates = upper;
		break;
	case 9: /* VMLA, VMLS */
		accumulates = !upper;
		break;
	case 12: /* VFMA, VFMS */
		if (!upper || u)
			return false;
		accumulates = true;
		break;
	case 13: /* VMLA, VMLS of floating point */
		accumulates = upper && !u;
		break;
	default:
		accumulates = false;
	}
	return set_neon(insn, reads, result, accumulates);
}

static bool modified_immediate(uint32_t word, struct insn *insn)
{
	unsigned int cmode = field(word, 8, 4);
	bool combines = (cmode & 1) && cmode < 12; /* VORR, VBIC */

	return set_neon(insn, 0, result_at(word, bit(word, 6)), combines);
}

static bool two_and_shift(uint32_t word, struct insn *insn)
{
	unsigned int op = field(word, 8, 4);
	bool quad = bit(word, 6), wide = bit(word, 7);

	if (!wide && (op == 8 || op == 9)) /* VSHRN and its like */
		return set_neon(insn, second_at(word, true), result_at(word, false), false);
	if (!wide && op == 10) /* VSHLL, VMOVL */
		return !quad && set_neon(insn, second_at(word, false), result_at(word, true), false);
	if (op > 7 && op < 14)
		return false;
	/* VSRA, VRSRA, VSRI, VSLI */
	return set_neon(insn, second_at(word, quad), result_at(word, quad),
			op == 1 || op == 3 || (bit(word, 24) && (op == 4 || op == 5)));
}

static bool three_different(uint32_t word, struct insn *insn)
{
	unsigned int op = field(word, 8, 4);
	bool first_wide = op == 1 || op == 3 || op == 4 || op == 6; /* VADDW, VSUBW, VADDHN, VSUBHN */
	bool narrows = op == 4 || op == 6;
	bool accumulates = op == 5 || (op >= 8 && op < 12); /* VABAL, VMLAL, VMLSL, VQDMLAL, VQDMLSL */

	if (op == 15)
		return false;
	return set_neon(insn, first_at(word, first_wide) | second_at(word, narrows), result_at(word, !narrows), accumulates);
}

static bool two_and_scalar(uint32_t word, struct insn *insn)
{
	unsigned int op = field(word, 8, 4);
	bool longer = (op & 3) > 1 && op < 12, quad = bit(word, 24);
	uint64_t scalar = reg_bit(REG_D0 + field(word, 0, field(word, 20, 2) == 1 ? 3 : 4));

	if (op > 13)
		return false;
	return set_neon(insn, first_at(word, !longer && quad) | scalar, result_at(word, longer || quad), op < 8);
}

static bool two_miscellaneous(uint32_t word, struct insn *insn)
{
	unsigned int group = field(word, 16, 2), op = field(word, 7, 4);
	bool quad = bit(word, 6);
	uint64_t result = result_at(word, quad), operand = second_at(word, quad);

	if (group == 0 && (op == 3 || op == 6 || op == 7))
		return false;
	if (group != 2) /* of VPADAL the result is an accumulator */
		return set_neon(insn, operand, result, group == 0 && (op == 12 || op == 13));
	switch (op) {
	case 0: case 1: case 2: case 3: /* VSWP, VTRN, VUZP, VZIP */
		return set(insn, INSN_NEON, operand | result, operand | result);
	case 4: case 5: /* VMOVN, VQMOVUN, VQMOVN */
		return set_neon(insn, second_at(word, true), result_at(word, false), false);
	case 6: /* VSHLL */
		return !quad && set_neon(insn, second_at(word, false), result_at(word, true), false);
	case 12: /* VCVT to half */
		return !quad && set_neon(insn, second_at(word, true), result_at(word, false), false);
	case 14: /* VCVT from half */
		return !quad && set_neon(insn, second_at(word, false), result_at(word, true), false);
	}
	return false;
}

/* VTBL and VTBX: a table of one to four registers. */
static bool table(uint32_t word, struct insn *insn)
{
	unsigned int first = field(word, 7, 1) << 4 | field(word, 16, 4), n = field(word, 8, 2) + 1;

	if (first + n > 32)
		return false;
	return set_neon(insn, (((uint64_t)1 << n) - 1) << (REG_D0 + first) | second_at(word, false),
			result_at(word, false), bit(word, 6));
}

static bool permute_or_two(uint32_t word, struct insn *insn)
{
	bool quad = bit(word, 6);

	if (!bit(word, 24)) /* VEXT */
		return set_neon(insn, first_at(word, quad) | second_at(word, quad), result_at(word, quad), false);
	if (!bit(word, 11))
		return two_miscellaneous(word, insn);
	if (!bit(word, 10))
		return table(word, insn);
	if (field(word, 7, 3)) /* else VDUP */
		return false;
	return set_neon(insn, second_at(word, false), result_at(word, quad), false);
}

bool decode_neon(uint32_t word, struct insn *insn)
{
	if (!bit(word, 23))
		return three_same(word, insn);
	if (bit(word, 4))
		return field(word, 19, 3) || bit(word, 7) ? two_and_shift(word, insn) : modified_immediate(word, insn);
	if (field(word, 20, 2) == 3)
		return permute_or_two(word, insn);
	return bit(word, 6) ? two_and_scalar(word, insn) : three_different(word, insn);
}

/* ---- loads and stores of elements and structures */

struct elements {
	unsigned int n, step, bytes; /* registers, distance between two, and bytes in memory altogether */
};

static bool multiple_of(uint32_t word, struct elements *e)
{
	static const unsigned char n[16] = {4, 4, 4, 4, 3, 3, 3, 1, 2, 2, 2}, step[16] = {1, 2, 1, 1, 1, 2, 1, 1, 1, 2, 1};
	unsigned int type = field(word, 8, 4);

	*e = (struct elements){n[type], step[type], n[type] * 8};
	return n[type] != 0;
}

/* One lane, or one element to all lanes (bits 10 and 11 both set). */
static void single_of(uint32_t word, struct elements *e)
{
	unsigned int n = field(word, 8, 2) + 1, size = field(word, 10, 2);
	bool all_lanes = size == 3;

	e->n = n;
	e->step = 1;
	if (all_lanes) {
		size = field(word, 6, 2);
		e->bytes = n << (size > 2 ? 2 : size);
		if (n == 1)
			e->n = 1 + bit(word, 5); /* VLD1 fills one or two */
		else
			e->step = 1 + bit(word, 5);
		return;
	}
	e->bytes = n << size;
	if (n > 1 && size)
		e->step = 1 + bit(word, 4 + size);
}

bool decode_neon_memory(uint32_t word, struct insn *insn)
{
	bool load = bit(word, 21), lane = bit(word, 23) && field(word, 10, 2) != 3;
	unsigned int number = field(word, 22, 1) << 4 | field(word, 12, 4), index = field(word, 0, 4);
	uint64_t address = reg_at(word, 16), list = 0;
	struct elements e;

	if (bit(word, 23))
		single_of(word, &e);
	else if (!multiple_of(word, &e))
		return false;
	if (!load && bit(word, 23) && !lane)
		return false;
	for (unsigned int i = 0; i < e.n; i++, number += e.step) {
		if (number > 31)
			return false;
		list |= reg_bit(REG_D0 + number);
	}
	insn->fp = true;
	if (index != 15) { /* 13: by what was moved, else by a register */
		set_update(insn, address);
		if (index != 13)
			address |= reg_bit(index);
	}
	if (!load)
		return set_store(insn, address, list, (e.bytes + 3) / 4);
	set_load(insn, address, list, (e.bytes + 3) / 4);
	if (lane) { /* the other lanes stay */
		insn->reads |= list;
		insn->data = list;
	}
	return true;
}

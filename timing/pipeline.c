// SPDX-License-Identifier: GPL-2.0-only
#include "pipeline.h"

enum { STORED_LATE = 1 }; /* cycles after an ALU's operands that stored data, and the flags of a branch, are wanted */

struct pipeline {
	const struct pipeline_numbers *numbers;
	uint32_t ready[REG_COUNT];	/* the cycle in which an ALU operation can use each register */
	uint64_t loaded;		/* core registers that a load brought */
	uint32_t now;			/* the cycle of the last issue */
	uint32_t issued;		/* instructions that were issued in it */
	bool fp;			/* one of them is VFP or NEON */
	uint32_t memory, branch, multiplier, divider, fp_divider, neon; /* the cycle in which each is free */
	uint32_t covered;		/* instructions still to come in an IT block */
};

static uint32_t at_least(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t less(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
}

static uint32_t divide_up(uint32_t a, uint32_t b)
{
	return (a + b - 1) / b;
}

static bool uses_fp(const struct insn *insn)
{
	return insn->fp || (insn->class >= INSN_FP_ADD && insn->class <= INSN_NEON);
}

static uint32_t latency(const struct pipeline_numbers *numbers, const struct insn *insn)
{
	switch (insn->class) {
	case INSN_SHIFT:
		/* the shifted operand is wanted early by what it takes longer */
		return numbers->alu_cycles;
	case INSN_MUL:
		return numbers->mul_cycles;
	case INSN_MUL_LONG:
		return numbers->mul_long_cycles;
	case INSN_DIV:
		return numbers->div_cycles;
	case INSN_LOAD:
		return insn->fp ? numbers->fp_load_cycles : numbers->load_cycles;
	case INSN_STORE: /* an exclusive store's result */
		return numbers->load_cycles;
	case INSN_FP_ADD:
		return numbers->fp_add_cycles;
	case INSN_FP_MUL:
		return numbers->fp_mul_cycles;
	case INSN_FP_MAC:
		return numbers->fp_mac_cycles;
	case INSN_FP_DIV32:
		return numbers->fp_div32_cycles;
	case INSN_FP_DIV64:
		return numbers->fp_div64_cycles;
	case INSN_FP_MOVE:
		return numbers->fp_move_cycles;
	case INSN_NEON:
		return numbers->neon_cycles;
	case INSN_SYSTEM:
		return numbers->system_cycles;
	default:
		return numbers->alu_cycles;
	}
}

/* Cycles by which the registers of insn->data may come later than others. */
static uint32_t lateness(const struct pipeline_numbers *numbers, const struct insn *insn)
{
	switch (insn->class) {
	case INSN_STORE:
		return STORED_LATE;
	case INSN_MUL: /* a chain of sums goes on with each addition, not with each product */
		return less(numbers->mul_cycles, numbers->alu_cycles);
	case INSN_MUL_LONG:
		return less(numbers->mul_long_cycles, numbers->alu_cycles);
	case INSN_FP_MAC:
		return less(numbers->fp_mac_cycles, numbers->fp_add_cycles);
	default:
		return 0;
	}
}

/* Cycles that a register in an address is wanted before an ALU would want it. */
static uint32_t address_early(const struct pipeline *p, const struct insn *insn, unsigned int r)
{
	if (insn->address == reg_bit(r) && (p->loaded & reg_bit(r)))
		return less(p->numbers->pointer_cycles, p->numbers->load_cycles);
	return p->numbers->address_cycles;
}

static bool multiplies_or_divides(const struct insn *insn)
{
	return insn->class == INSN_MUL || insn->class == INSN_MUL_LONG || insn->class == INSN_DIV;
}

/* The first cycle in which all that the instruction reads is there. */
static uint32_t operands_ready(const struct pipeline *p, const struct insn *insn)
{
	uint32_t late = lateness(p->numbers, insn), early = less(p->numbers->shift_cycles, p->numbers->alu_cycles);
	uint32_t cycle = 0;

	for (uint64_t left = insn->reads & ~reg_bit(REG_PC); left; left &= left - 1) {
		unsigned int r = __builtin_ctzll(left);
		uint32_t wanted = p->ready[r];

		if (!wanted)
			continue;
		if (insn->address & reg_bit(r))
			wanted += address_early(p, insn, r);
		else if (insn->shifted & reg_bit(r))
			wanted += early;
		else if (insn->data & reg_bit(r))
			wanted = less(wanted, late);
		else if (multiplies_or_divides(insn))
			wanted += p->numbers->factor_cycles;
		else if (insn->class == INSN_BRANCH && r == REG_FLAGS)
			wanted = less(wanted, STORED_LATE);
		cycle = at_least(cycle, wanted);
	}
	return cycle;
}

/* The first cycle in which the unit that executes the instruction is free. */
static uint32_t unit_free(const struct pipeline *p, const struct insn *insn)
{
	switch (insn->class) {
	case INSN_LOAD:
	case INSN_STORE:
		return p->memory;
	case INSN_BRANCH:
		return p->branch;
	case INSN_MUL:
	case INSN_MUL_LONG:
		return p->multiplier;
	case INSN_DIV:
		return p->divider;
	case INSN_FP_DIV32:
	case INSN_FP_DIV64:
		return p->fp_divider;
	case INSN_NEON:
		return p->neon;
	default:
		return 0;
	}
}

static void occupy_unit(struct pipeline *p, const struct insn *insn, uint32_t cycles)
{
	uint32_t doublewords = 0;

	switch (insn->class) {
	case INSN_LOAD:
	case INSN_STORE:
		p->memory = p->now + cycles;
		break;
	case INSN_BRANCH:
		p->branch = p->now + 1;
		break;
	case INSN_MUL:
	case INSN_MUL_LONG:
		p->multiplier = p->now + 1;
		break;
	case INSN_DIV: /* dividers are not pipelined */
		p->divider = p->now + latency(p->numbers, insn);
		break;
	case INSN_FP_DIV32:
	case INSN_FP_DIV64:
		p->fp_divider = p->now + latency(p->numbers, insn);
		break;
	case INSN_NEON: /* the unit is as many doublewords wide as can issue */
		for (uint64_t results = insn->writes >> REG_D0; results; results &= results - 1)
			doublewords++;
		p->neon = p->now + divide_up(doublewords, p->numbers->fp_issue_width);
		break;
	}
}

/* Goes on to the first cycle from the given one in which there is room to issue. */
static void find_slot(struct pipeline *p, const struct insn *insn, uint32_t cycle)
{
	uint32_t width = p->numbers->issue_width;

	if ((p->fp || uses_fp(insn)) && p->numbers->fp_issue_width < width)
		width = p->numbers->fp_issue_width;
	if (cycle <= p->now && (p->issued >= width || (insn->class == INSN_SYSTEM && p->issued)))
		cycle = p->now + 1;
	if (cycle > p->now) {
		p->now = cycle;
		p->issued = 0;
		p->fp = false;
	}
	p->issued++;
	p->fp |= uses_fp(insn);
}

static void set_ready(struct pipeline *p, const struct insn *insn, uint32_t result)
{
	p->loaded &= ~insn->writes;
	if (insn->class == INSN_LOAD)
		p->loaded |= insn->writes & ~insn->updates;
	for (uint64_t left = insn->writes; left; left &= left - 1) {
		unsigned int r = __builtin_ctzll(left);

		p->ready[r] = insn->updates & reg_bit(r) ? p->now + p->numbers->alu_cycles : result;
	}
}

static void issue(struct pipeline *p, const struct insn *insn)
{
	uint32_t cycles = insn->class == INSN_SYSTEM ? p->numbers->system_cycles : divide_up(insn->transfers, 2);

	cycles = at_least(cycles, 1);
	find_slot(p, insn, at_least(operands_ready(p, insn), unit_free(p, insn)));
	occupy_unit(p, insn, cycles);
	if (insn->class == INSN_SYSTEM)
		set_ready(p, insn, p->now + cycles);
	else
		set_ready(p, insn, p->now + cycles - 1 + latency(p->numbers, insn));
	p->now += cycles - 1;
	if (insn->class == INSN_SYSTEM) /* and nothing beside it */
		p->issued = p->numbers->issue_width;
	else if (cycles > 1)
		p->issued = 1;
}

/* The instruction as it is in an IT block: conditional, and of 16 bits only comparisons set the flags. */
static struct insn covered_by_it(struct insn insn)
{
	if (insn.length == 2 && (insn.class == INSN_ALU || insn.class == INSN_MUL) &&
	    insn.writes != reg_bit(REG_FLAGS))
		insn.writes &= ~reg_bit(REG_FLAGS);
	insn.conditional = true;
	insn.reads |= reg_bit(REG_FLAGS);
	return insn;
}

static void run(struct pipeline *p, const struct insn *insns, size_t n)
{
	p->covered = 0;
	for (size_t i = 0; i < n; i++) {
		struct insn insn = insns[i];

		if (p->covered) {
			p->covered--;
			insn = covered_by_it(insn);
		}
		if (insn.covers)
			p->covered = insn.covers;
		issue(p, &insn);
	}
	p->now++;
	p->issued = 0;
	p->fp = false;
	if (insns[n - 1].writes & reg_bit(REG_PC))
		p->now += p->numbers->branch_cycles;
}

/* Does the block end in a branch to its own beginning? */
static bool loops(const struct insn *insns, size_t n)
{
	int64_t before = 0;

	for (size_t i = 0; i + 1 < n; i++)
		before += insns[i].length;
	return n > 1 && insns[n - 1].offset == -before;
}

unsigned int pipeline_cycles(const struct pipeline_numbers *numbers, const struct insn *insns, size_t n)
{
	struct pipeline p = {.numbers = numbers};
	uint32_t begin = 0;

	if (!n)
		return 0;
	run(&p, insns, n);
	if (loops(insns, n)) {
		begin = p.now;
		run(&p, insns, n);
	}
	return p.now - begin;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* What the timing model knows of one instruction, whichever instruction set it is from. */
#ifndef INSN_H
#define INSN_H

#include <stdbool.h>
#include <stdint.h>

/* Registers are numbered, a set of them is a mask of bits. s2n and s2n+1 are halves of dn, qn is d2n and d2n+1. */
enum {
	REG_SP = 13,
	REG_LR = 14,
	REG_PC = 15,
	REG_FLAGS = 16,		/* APSR, without the rest of CPSR */
	REG_D0 = 17,		/* 17 to 48: d0 to d31 */
	REG_FPSCR = 49,		/* the flags that VCMP sets and VMRS reads */
	REG_COUNT
};

static inline uint64_t reg_bit(unsigned int number)
{
	return (uint64_t)1 << number;
}

enum insn_class {
	INSN_UNKNOWN,
	INSN_ALU,		/* also shifts by themselves, extensions, bit fields, parallel adds, saturation */
	INSN_SHIFT,		/* an ALU operation with a shifted operand */
	INSN_MUL,		/* 32-bit result, with or without accumulator */
	INSN_MUL_LONG,		/* 64-bit result */
	INSN_DIV,
	INSN_LOAD,		/* preloads are loads of no word that write no register */
	INSN_STORE,
	INSN_BRANCH,		/* branches by name; loads and ALU operations that write the PC keep their class */
	INSN_FP_ADD,		/* also comparisons and conversions */
	INSN_FP_MUL,
	INSN_FP_MAC,
	INSN_FP_DIV32,		/* also square root */
	INSN_FP_DIV64,
	INSN_FP_MOVE,		/* moves, absolute value, negation, transfers from and to core registers */
	INSN_NEON,		/* all of Advanced SIMD but its loads, stores and transfers */
	INSN_SYSTEM,		/* status and coprocessor registers, barriers, exceptions */
	INSN_HINT,		/* NOP, YIELD, WFE, WFI, SEV, unallocated hints, IT */
	INSN_CLASSES
};

/* Instructions that the model of the machine, not that of the pipeline, has to see. */
enum insn_special {
	SPECIAL_NONE,
	SPECIAL_COUNTER,	/* MRRC of CNTPCT or CNTVCT: the guest reads its clock */
	SPECIAL_TLB_ALL,	/* TLBIALL and its variants */
	SPECIAL_TLB_ADDRESS,	/* TLBIMVA and its variants; the address and ASID are in the one register that is read */
	SPECIAL_TLB_ASID,	/* TLBIASID and its variants */
	SPECIAL_TTBR0,		/* MCR or MCRR to TTBR0 */
	SPECIAL_CONTEXTIDR,	/* MCR to CONTEXTIDR */
	SPECIAL_WFI
};

struct insn {
	uint64_t reads;		/* all registers that are read */
	uint64_t writes;	/* all registers that are written; the PC by every branch */
	uint64_t address;	/* of reads: those that form an address */
	uint64_t data;		/* of reads: stored registers and accumulators, wanted late */
	uint64_t shifted;	/* of reads: those that pass the shifter on their way to the ALU, wanted early */
	uint64_t updates;	/* of writes: the base register of a load or store, ready before what is loaded */
	int32_t offset;		/* bytes from here to the target of a direct branch but BLX; 0 for all others */
	uint8_t class;		/* enum insn_class */
	uint8_t special;	/* enum insn_special */
	uint8_t length;		/* bytes: 2 or 4 */
	uint8_t transfers;	/* 32-bit words that a load or store moves, 0 for all others */
	uint8_t hint;		/* the immediate of a hint (A32: bits 0 to 7), 0 for all others and for IT */
	uint8_t covers;		/* instructions that an IT makes conditional: 1 to 4, 0 for all others */
	bool fp;		/* a load or store of VFP or NEON registers */
	bool conditional;	/* executed or not by the flags; by IT is known to the pipeline, not here */
};

#endif

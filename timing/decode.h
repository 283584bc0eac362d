/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Decoder of ARMv7-A with integer division, virtualization, VFPv4 and NEON (DDI 0406C, chapters A5 to A8).
 *
 * It says what a pipeline has to know of an instruction. Encodings that the architecture calls UNPREDICTABLE, and those
 * UNDEFINED for one value of a size field, may be taken for their neighbours: no core executes them.
 */
#ifndef DECODE_H
#define DECODE_H

#include "insn.h"

/* One A32 instruction. False, with the class INSN_UNKNOWN and no registers, for one that is not known. */
bool decode_a32(uint32_t word, struct insn *insn);

/*
 * One T32 instruction of length 2 (in the low half of the word) or 4 bytes (first halfword high). False as above.
 * Inside an IT block the 16-bit ALU operations do not set the flags; here they always do (pipeline.c knows the block).
 */
bool decode_t32(uint32_t word, unsigned int length, struct insn *insn);

#endif

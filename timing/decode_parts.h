/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the decoder share; not for those who use it. */
#ifndef DECODE_PARTS_H
#define DECODE_PARTS_H

#include "decode.h"

/* T32 of 16 bits. */
bool decode_t16(uint32_t word, struct insn *insn);
/* VFP and core transfers (coprocessors 10 and 11), in the encoding of A32. */
bool decode_vfp(uint32_t word, struct insn *insn);
/* Advanced SIMD data processing (1111 001x) and element or structure loads and stores (1111 0100 xxx0), likewise. */
bool decode_neon(uint32_t word, struct insn *insn);
bool decode_neon_memory(uint32_t word, struct insn *insn);
/* All coprocessor instructions (bits 27 to 25 are 110, or 27 to 24 are 1110), likewise. */
bool decode_coprocessor(uint32_t word, struct insn *insn);

static inline uint32_t field(uint32_t word, unsigned int low, unsigned int width)
{
	return word >> low & ((1u << width) - 1);
}

static inline bool bit(uint32_t word, unsigned int number)
{
	return word >> number & 1;
}

/* The core register that the four bits from low on name. */
static inline uint64_t reg_at(uint32_t word, unsigned int low)
{
	return reg_bit(field(word, low, 4));
}

/* The same where 15 stands for none. */
static inline uint64_t reg_or_none(uint32_t word, unsigned int low)
{
	return field(word, low, 4) == 15 ? 0 : reg_at(word, low);
}

static inline uint64_t flags_if(bool flags)
{
	return flags ? reg_bit(REG_FLAGS) : 0;
}

static inline unsigned int count_bits(uint32_t word)
{
	unsigned int n = 0;

	for (; word; word &= word - 1)
		n++;
	return n;
}

static inline int32_t sign_extend(uint32_t value, unsigned int width)
{
	uint32_t sign = 1u << (width - 1);

	return (int32_t)((value ^ sign) - sign);
}

/* Each of these fills in what its arguments say and returns true. */
static inline bool set(struct insn *insn, enum insn_class class, uint64_t reads, uint64_t writes)
{
	insn->class = class;
	insn->reads |= reads;
	insn->writes |= writes;
	return true;
}

static inline bool set_accumulating(struct insn *insn, enum insn_class class, uint64_t reads, uint64_t accumulator,
				    uint64_t writes)
{
	insn->data |= accumulator;
	return set(insn, class, reads | accumulator, writes);
}

static inline bool set_shifting(struct insn *insn, uint64_t shifted, uint64_t reads, uint64_t writes)
{
	insn->shifted |= shifted;
	return set(insn, INSN_SHIFT, reads | shifted, writes);
}

static inline bool set_load(struct insn *insn, uint64_t address, uint64_t writes, unsigned int words)
{
	insn->address |= address;
	insn->transfers = words;
	return set(insn, INSN_LOAD, address, writes);
}

static inline bool set_store(struct insn *insn, uint64_t address, uint64_t data, unsigned int words)
{
	insn->address |= address;
	insn->data |= data;
	insn->transfers = words;
	return set(insn, INSN_STORE, address | data, 0);
}

static inline void set_update(struct insn *insn, uint64_t base)
{
	insn->writes |= base;
	insn->updates |= base;
}

static inline bool set_branch(struct insn *insn, uint64_t reads, bool link, int32_t offset)
{
	insn->offset = offset;
	return set(insn, INSN_BRANCH, reads, reg_bit(REG_PC) | (link ? reg_bit(REG_LR) : 0));
}

static inline bool set_hint(struct insn *insn, unsigned int hint)
{
	insn->hint = hint;
	if (hint == 3)
		insn->special = SPECIAL_WFI;
	return set(insn, INSN_HINT, 0, 0);
}

/* Makes the record empty, as it is for an unknown instruction. */
static inline void insn_clear(struct insn *insn, unsigned int length)
{
	*insn = (struct insn){.length = length};
}

#endif

// SPDX-License-Identifier: GPL-2.0-only
#include "tb.h"

#include <string.h>

#include "block.h"
#include "decode.h"

/* From here on there is the kernel: its modules, its memory, its vectors. It is A32 code. */
#define KERNEL_FIRST 0xbf000000u

static void copy_data(const struct qemu_plugin_insn *insn, void *data, size_t length)
{
#if TIMING_API == 1
	memcpy(data, qemu_plugin_insn_data(insn), length);
#else
	qemu_plugin_insn_data(insn, data, length);
#endif
}

/* Whether a word is a mark of A32, whose lower half looks like the first one of a long T32 instruction. */
static bool is_a32_mark(uint32_t word)
{
	return word >= (0xe320f000 | MARK_FIRST) && word <= (0xe320f000 | MARK_LAST);
}

/*
 * Whether a block is of T32 instructions, which QEMU's interface does not say. Short ones, and those that are not aligned, can be no
 * other. In a user's block of long and aligned ones the first halfword of each tells: those of T32 begin with 11101, 11110 or 11111.
 */
static bool is_thumb(struct qemu_plugin_tb *tb, size_t n)
{
	bool long_thumb = true;
	uint32_t word;
	size_t i;

	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *in = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_size(in) == 2 || qemu_plugin_insn_vaddr(in) & 2)
			return true;
		copy_data(in, &word, sizeof(word));
		long_thumb &= (uint16_t)word >> 11 >= 0x1d && !is_a32_mark(word);
	}
	return long_thumb && qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0)) < KERNEL_FIRST;
}

/*
 * The bytes of an instruction. At the end of a page QEMU 7.2 looks at the first two of the next one, and takes them for this one's,
 * which a short one of T32 tells.
 */
static size_t length_of(struct qemu_plugin_insn *in, bool thumb)
{
	uint16_t half = 0;

	copy_data(in, &half, sizeof(half));
	return qemu_plugin_insn_size(in) == 2 || (thumb && half >> 11 < 0x1d) ? 2 : 4;
}

/* An instruction of so many bytes as one word. */
static uint32_t word_of(const uint8_t *bytes, size_t length, bool thumb)
{
	uint16_t half[2] = { 0, 0 };

	memcpy(half, bytes, length);
	if (!thumb)
		return half[0] | (uint32_t)half[1] << 16;
	return length == 2 ? half[0] : (uint32_t)half[0] << 16 | half[1];
}

bool tb_read(struct tb *tb, struct qemu_plugin_tb *from)
{
	bool thumb;
	size_t i;

	tb->n = qemu_plugin_tb_n_insns(from);
	if (tb->n > MOST_INSNS)
		return false;
	thumb = is_thumb(from, tb->n);
	tb->length = 0;
	for (i = 0; i < tb->n; i++) {
		struct qemu_plugin_insn *in = qemu_plugin_tb_get_insn(from, i);
		size_t length = length_of(in, thumb);
		uint8_t *bytes = &tb->bytes[tb->length];

		copy_data(in, bytes, length);
		tb->length += length;
		tb->last = word_of(bytes, length, thumb);
		if (thumb)
			decode_t32(tb->last, length, &tb->insns[i]);
		else
			decode_a32(tb->last, &tb->insns[i]);
	}
	tb->address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(from, 0));
	tb->next = tb->address + tb->length;
	return true;
}

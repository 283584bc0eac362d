/* SPDX-License-Identifier: GPL-2.0-only */
/* A block of the guest's instructions as QEMU translates it: read from its interface, and decoded. */
#ifndef TB_H
#define TB_H

#include "insn.h"
#include "qemu_plugin.h"

/* TCG_MAX_INSNS, include/tcg/tcg.h. */
#define MOST_INSNS 512

struct tb {
	uint32_t address;
	uint32_t next;			/* address behind it */
	size_t n;			/* instructions, not 0 */
	uint32_t length;		/* bytes */
	uint32_t last;			/* the last instruction, as A32 or T32 has it */
	struct insn insns[MOST_INSNS];
	uint8_t bytes[4 * MOST_INSNS];
};

/* False for a block with more instructions than are known to be possible. */
bool tb_read(struct tb *tb, struct qemu_plugin_tb *from);

#endif

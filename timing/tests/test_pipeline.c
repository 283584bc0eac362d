// SPDX-License-Identifier: GPL-2.0-only
/* Blocks whose cycles are counted by hand, on a core with numbers that tell one rule from another. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../decode.h"
#include "../pipeline.h"

enum { MOST = 12 };

struct block {
	const char *text;
	unsigned int cycles;
	uint32_t words[MOST]; /* A32, ended by 0 */
};

static const struct pipeline_numbers dual = {
	.alu_cycles = 1, .shift_cycles = 2, .mul_cycles = 3, .mul_long_cycles = 4, .div_cycles = 8, .load_cycles = 2,
	.address_cycles = 2, .pointer_cycles = 3, .factor_cycles = 1, .fp_add_cycles = 4, .fp_mul_cycles = 5, .fp_mac_cycles = 8, .fp_div32_cycles = 14,
	.fp_div64_cycles = 29, .fp_move_cycles = 3, .fp_load_cycles = 3, .neon_cycles = 6, .branch_cycles = 1,
	.system_cycles = 4, .issue_width = 2, .fp_issue_width = 2,
};

static const struct block on_dual[] = {
	/* cycle 0 */
	{"one instruction", 1, {0xe0810002 /* add r0, r1, r2 */}},
	/* both in 0 */
	{"two that do not depend on each other", 1, {0xe0810002 /* add r0, r1, r2 */, 0xe0843005 /* add r3, r4, r5 */}},
	/* 0, 0, 1 */
	{"three of them", 2, {0xe3a00001 /* mov r0, #1 */, 0xe3a01001 /* mov r1, #1 */, 0xe3a02001 /* mov r2, #1 */}},
	/* 0, 0 + alu 1 */
	{"a result", 2, {0xe0810002 /* add r0, r1, r2 */, 0xe0803005 /* add r3, r0, r5 */}},
	/* 0, 0 + shift 2 = 2 */
	{"a result that is shifted", 3, {0xe0810002 /* add r0, r1, r2 */, 0xe0853100 /* add r3, r5, r0, lsl #2 */}},
	/* 0, 0 + alu 1 */
	{"a result beside what is shifted", 2, {0xe0810002 /* add r0, r1, r2 */, 0xe0803105 /* add r3, r0, r5, lsl #2 */}},
	/* 0, 0 + load 2 */
	{"a loaded word", 3, {0xe5910000 /* ldr r0, [r1] */, 0xe0803005 /* add r3, r0, r5 */}},
	/* 0, 0 + pointer 3 */
	{"a loaded address", 4, {0xe5910000 /* ldr r0, [r1] */, 0xe5902000 /* ldr r2, [r0] */}},
	/* 0, 0 + load 2 + address 2 = 4 */
	{"a loaded index", 5, {0xe5910000 /* ldr r0, [r1] */, 0xe7942000 /* ldr r2, [r4, r0] */}},
	/* 0, + load 2, + alu 1 + address 2 = 5: what was loaded is not the address */
	{"an address computed from what was loaded", 6,
	 {0xe5910000 /* ldr r0, [r1] */, 0xe0800002 /* add r0, r0, r2 */, 0xe5902000 /* ldr r2, [r0] */}},
	/* 0, 0 + alu 1 + address 2 = 3 */
	{"a computed address", 4, {0xe0810002 /* add r0, r1, r2 */, 0xe5902000 /* ldr r2, [r0] */}},
	/* 0; the base is there at 0 + alu 1, though the word comes at 2 */
	{"a base that was updated", 2, {0xe4910004 /* ldr r0, [r1], #4 */, 0xe0813005 /* add r3, r1, r5 */}},
	/* one load or store a cycle: 0, 1 */
	{"two loads", 2, {0xe5910000 /* ldr r0, [r1] */, 0xe5912004 /* ldr r2, [r1, #4] */}},
	/* 0, and the stored word may be 1 later than an operand: 0 + 1 - 1 */
	{"a stored result", 1, {0xe0810002 /* add r0, r1, r2 */, 0xe5840000 /* str r0, [r4] */}},
	/* 0, 0 + load 2 - 1 */
	{"a copied word", 2, {0xe5910000 /* ldr r0, [r1] */, 0xe5840000 /* str r0, [r4] */}},
	/* six words are moved in 3 cycles, 0 to 2; the next one beside the last two words */
	{"a load of six words", 3,
	 {0xe891007e /* ldm r1, {r1-r6} */, 0xe3a07001 /* mov r7, #1 */}},
	/* the last two words in 2, + load 2 = 4 */
	{"the words of such a load", 5, {0xe891007e /* ldm r1, {r1-r6} */, 0xe0860006 /* add r0, r6, r6 */}},
	/* one multiplication a cycle: 0, 1 */
	{"two products", 2, {0xe0000291 /* mul r0, r1, r2 */, 0xe0030291 /* mul r3, r1, r2 */}},
	/* 0, 0 + alu 1 + factor 1 = 2 */
	{"a factor", 3, {0xe0810002 /* add r0, r1, r2 */, 0xe0030290 /* mul r3, r0, r2 */}},
	/* 0, 0 + mul 3 */
	{"a product", 4, {0xe0000291 /* mul r0, r1, r2 */, 0xe0803005 /* add r3, r0, r5 */}},
	/* the accumulator is wanted 3 - 1 late: 0, 3 - 2 = 1, 1 + 1 = 2 */
	{"sums of products", 3,
	 {0xe0200291 /* mla r0, r1, r2, r0 */, 0xe0200291, 0xe0200291}},
	/* 0, 0 + mul_long 4 */
	{"a long product", 5, {0xe0810392 /* umull r0, r1, r2, r3 */, 0xe0813005 /* add r3, r1, r5 */}},
	/* the divider is busy until 8; beside it the addition goes on in 0 */
	{"two quotients", 9,
	 {0xe710f211 /* sdiv r0, r1, r2 */, 0xe3a07001 /* mov r7, #1 */, 0xe713f211 /* sdiv r3, r1, r2 */}},
	/* 0, 0 + 4 */
	{"a sum of doubles", 5, {0xee310b02 /* vadd.f64 d0, d1, d2 */, 0xee303b02 /* vadd.f64 d3, d0, d2 */}},
	/* the sum is wanted 8 - 4 late: 0, 8 - 4 = 4 */
	{"sums of products of doubles", 5, {0xeea10b02 /* vfma.f64 d0, d1, d2 */, 0xeea10b02}},
	/* a factor is not: 0, 8 */
	{"a product of a sum of doubles", 9, {0xeea10b02 /* vfma.f64 d0, d1, d2 */, 0xeea03b02 /* vfma.f64 d3, d0, d2 */}},
	/* 0, 0 + fp_load 3 */
	{"a loaded double", 4, {0xed910b00 /* vldr d0, [r1] */, 0xee303b02 /* vadd.f64 d3, d0, d2 */}},
	/* 0, 0 + 29 */
	{"a quotient of doubles", 30, {0xee810b02 /* vdiv.f64 d0, d1, d2 */, 0xee303b02 /* vadd.f64 d3, d0, d2 */}},
	/* vcmp to vmrs 0 + 4, + move 3 = 7 for what needs the flags */
	{"a comparison of doubles", 8,
	 {0xeeb40b41 /* vcmp.f64 d0, d1 */, 0xeef1fa10 /* vmrs APSR_nzcv, fpscr */, 0x00810002 /* addeq r0, r1, r2 */}},
	/* two doublewords a cycle are one quadword: 0, 1 */
	{"two quadwords", 2, {0xf2242846 /* vadd.i32 q1, q2, q3 */, 0xf26408c6 /* vadd.i32 q8, q10, q3 */}},
	/* 0 and alone until 4, then 4 */
	{"a system register", 5, {0xee1d0f70 /* mrc p15, 0, r0, c13, c0, 3 */, 0xe0803005 /* add r3, r0, r5 */}},
	/* 0; not beside it: 1 to 4 */
	{"a system register after something else", 5, {0xe3a07001 /* mov r7, #1 */, 0xee1d0f70 /* mrc */}},
	/* both in 0, since a branch wants the flags late; branch 1 */
	{"a comparison and a branch", 2, {0xe3520000 /* cmp r2, #0 */, 0x1a000010 /* bne forwards */}},
	/* one branch a cycle: 0, 1; branch 1 */
	{"two branches", 3, {0x1a000010 /* bne forwards */, 0xea000010 /* b forwards */}},
	/* the same with an addition: flags at 0 + 1 */
	{"a comparison and a conditional addition", 2, {0xe3520000 /* cmp r2, #0 */, 0x00810002 /* addeq r0, r1, r2 */}},
	/* each round waits for its own word: pointer 3; the other two fit in */
	{"a chain of pointers in a loop", 3,
	 {0xe5900000 /* ldr r0, [r0] */, 0xe2511001 /* subs r1, r1, #1 */, 0x1afffffc /* bne to the ldr */}},
	/* it may follow anything, so its word counts no longer than to its end: ldr and subs 0, bne 1 + branch 1 */
	{"the same without a loop", 3,
	 {0xe5900000 /* ldr r0, [r0] */, 0xe2511001 /* subs r1, r1, #1 */, 0x1afffffb /* bne to before the ldr */}},
	/* the first round is 0 and branch 1; d0 is there in 4, so the second is 4 and branch 1, and ends 6 - 2 later */
	{"a loop of sums of doubles", 4, {0xee300b02 /* vadd.f64 d0, d0, d2 */, 0x1afffffd /* bne to it */}},
};

/* One instruction a cycle for VFP and NEON, two for others. */
static const struct block on_narrow[] = {
	/* 0, 0 */
	{"two of the core", 1, {0xe3a00001 /* mov r0, #1 */, 0xe3a01001 /* mov r1, #1 */}},
	/* 0, 1 */
	{"one of VFP after one of the core", 2, {0xe3a00001 /* mov r0, #1 */, 0xee310b02 /* vadd.f64 d0, d1, d2 */}},
	/* 0, 1 */
	{"one of the core after one of VFP", 2, {0xee310b02 /* vadd.f64 d0, d1, d2 */, 0xe3a00001 /* mov r0, #1 */}},
	/* 0, 1, 1 */
	{"the width comes back in the next cycle", 2,
	 {0xee310b02 /* vadd.f64 d0, d1, d2 */, 0xe3a00001 /* mov r0, #1 */, 0xe3a01001 /* mov r1, #1 */}},
	/* a quadword takes two cycles: 0, 2 */
	{"two quadwords", 3, {0xf2242846 /* vadd.i32 q1, q2, q3 */, 0xf26408c6 /* vadd.i32 q8, q10, q3 */}},
};

/* One instruction a cycle. */
static const struct block on_single[] = {
	/* 0, 1 */
	{"two instructions", 2, {0xe3a00001 /* mov r0, #1 */, 0xe3a01001 /* mov r1, #1 */}},
	/* 0 to 2, 3 */
	{"one after a load of six words", 4, {0xe891007e /* ldm r1, {r1-r6} */, 0xe3a07001 /* mov r7, #1 */}},
};

static unsigned int failures;

static void equal(const char *text, unsigned int got, unsigned int expected)
{
	if (got == expected)
		return;
	printf("%s: %u cycles, not %u\n", text, got, expected);
	failures++;
}

static void check(const struct pipeline_numbers *numbers, const struct block *blocks, size_t n)
{
	for (const struct block *block = blocks; block < blocks + n; block++) {
		struct insn insns[MOST];
		size_t length = 0;

		for (; length < MOST && block->words[length]; length++)
			if (!decode_a32(block->words[length], &insns[length])) {
				printf("%s: unknown instruction\n", block->text);
				failures++;
			}
		equal(block->text, pipeline_cycles(numbers, insns, length), block->cycles);
	}
}

/* cmp r1, #0; itt eq; addeq r0, r2, r3; addeq r4, r0, r0. */
static void check_it(void)
{
	static const uint32_t words[] = {0x2900, 0xbf04, 0x18d0, 0x1804};
	struct insn insns[4];

	for (size_t i = 0; i < 4; i++)
		decode_t32(words[i], 2, &insns[i]);
	/* cmp and itt in 0; addeq waits for the flags, 1; the second for r0, 2 */
	equal("an IT block", pipeline_cycles(&dual, insns, 4), 3);
	/* without cmp: itt and the first in 0, the second in 1 */
	equal("an IT block that waits for no flags", pipeline_cycles(&dual, insns + 1, 3), 2);
	/* itt and the first in 0, the second in 1, and beside it adceq (0x4168), since those before set no flags in the block */
	decode_t32(0xbf02, 2, &insns[0]);
	insns[1] = insns[2];
	insns[2] = insns[3];
	decode_t32(0x4168, 2, &insns[3]);
	equal("an IT block with a carry from before it", pipeline_cycles(&dual, insns, 4), 2);
	/* outside a block they do, and the second sets them in 1: adc in 2 */
	equal("the same without IT", pipeline_cycles(&dual, insns + 1, 3), 3);
}

int main(void)
{
	struct pipeline_numbers narrow = dual, single = dual;

	narrow.fp_issue_width = 1;
	single.issue_width = 1;
	single.fp_issue_width = 1;
	check(&dual, on_dual, sizeof(on_dual) / sizeof(on_dual[0]));
	check(&narrow, on_narrow, sizeof(on_narrow) / sizeof(on_narrow[0]));
	check(&single, on_single, sizeof(on_single) / sizeof(on_single[0]));
	check_it();
	equal("no instruction", pipeline_cycles(&dual, NULL, 0), 0);
	if (failures)
		printf("test_pipeline: %u differences\n", failures);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

// SPDX-License-Identifier: GPL-2.0-only
/* Instructions as the assembler encodes them, and what a person reads in the architecture manual about each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../decode.h"

#define R(n) ((uint64_t)1 << (n))
#define D(n) ((uint64_t)1 << (REG_D0 + (n)))
#define SP R(REG_SP)
#define LR R(REG_LR)
#define PC R(REG_PC)
#define FLAGS R(REG_FLAGS)
#define FPSCR R(REG_FPSCR)

struct expected {
	const char *text;
	uint32_t word;
	unsigned int length; /* 0: A32, else T32 */
	struct insn insn;
};

static const struct expected cases[] = {
	/* data processing */
	{"add r0, r1, r2", 0xe0810002, 0, {.class = INSN_ALU, .reads = R(1) | R(2), .writes = R(0)}},
	{"add r0, r1, r2, lsl #2", 0xe0810102, 0,
	 {.class = INSN_SHIFT, .reads = R(1) | R(2), .writes = R(0), .shifted = R(2)}},
	{"addseq r3, r3, r4, lsr r5", 0x00933534, 0,
	 {.class = INSN_SHIFT, .reads = R(3) | R(4) | R(5) | FLAGS, .writes = R(3) | FLAGS, .shifted = R(4) | R(5),
	  .conditional = true}},
	{"lsl r0, r1, #3", 0xe1a00181, 0, {.class = INSN_ALU, .reads = R(1), .writes = R(0)}},
	{"rrx r0, r1", 0xe1a00061, 0, {.class = INSN_ALU, .reads = R(1) | FLAGS, .writes = R(0)}},
	{"adc r0, r1, #4", 0xe2a10004, 0, {.class = INSN_ALU, .reads = R(1) | FLAGS, .writes = R(0)}},
	{"cmp r2, #0", 0xe3520000, 0, {.class = INSN_ALU, .reads = R(2), .writes = FLAGS}},
	{"movt r0, #1", 0xe3400001, 0, {.class = INSN_ALU, .reads = R(0), .writes = R(0)}},
	{"mov pc, lr", 0xe1a0f00e, 0, {.class = INSN_ALU, .reads = LR, .writes = PC}},
	{"uadd8 r0, r1, r2", 0xe6510f92, 0, {.class = INSN_ALU, .reads = R(1) | R(2), .writes = R(0) | FLAGS}},
	{"sel r0, r1, r2", 0xe6810fb2, 0, {.class = INSN_ALU, .reads = R(1) | R(2) | FLAGS, .writes = R(0)}},
	{"uxtb r0, r1", 0xe6ef0071, 0, {.class = INSN_ALU, .reads = R(1), .writes = R(0)}},
	{"uxtab r0, r1, r2", 0xe6e10072, 0, {.class = INSN_ALU, .reads = R(1) | R(2), .writes = R(0)}},
	{"bfi r0, r1, #4, #4", 0xe7c70211, 0, {.class = INSN_ALU, .reads = R(0) | R(1), .writes = R(0)}},
	{"adds r0, r1, r2", 0x1888, 2, {.class = INSN_ALU, .reads = R(1) | R(2), .writes = R(0) | FLAGS}},
	{"add r8, r1", 0x4488, 2, {.class = INSN_ALU, .reads = R(8) | R(1), .writes = R(8)}},
	{"mvns r0, r1", 0x43c8, 2, {.class = INSN_ALU, .reads = R(1), .writes = R(0) | FLAGS}},
	{"add.w r0, r1, r2, lsl #3", 0xeb0100c2, 4,
	 {.class = INSN_SHIFT, .reads = R(1) | R(2), .writes = R(0), .shifted = R(2)}},
	{"mov.w r0, r8, lsl #2", 0xea4f0088, 4, {.class = INSN_ALU, .reads = R(8), .writes = R(0)}},
	{"tst.w r8, #1", 0xf0180f01, 4, {.class = INSN_ALU, .reads = R(8), .writes = FLAGS}},
	{"clz r0, r1", 0xfab1f081, 4, {.class = INSN_ALU, .reads = R(1), .writes = R(0)}},
	/* multiplication and division */
	{"mul r0, r1, r2", 0xe0000291, 0, {.class = INSN_MUL, .reads = R(1) | R(2), .writes = R(0)}},
	{"mla r0, r1, r2, r3", 0xe0203291, 0,
	 {.class = INSN_MUL, .reads = R(1) | R(2) | R(3), .writes = R(0), .data = R(3)}},
	{"smlal r0, r1, r2, r3", 0xe0e10392, 0,
	 {.class = INSN_MUL_LONG, .reads = R(0) | R(1) | R(2) | R(3), .writes = R(0) | R(1), .data = R(0) | R(1)}},
	{"sdiv r0, r1, r2", 0xe710f211, 0, {.class = INSN_DIV, .reads = R(1) | R(2), .writes = R(0)}},
	{"mla r0, r1, r2, r3", 0xfb013002, 4,
	 {.class = INSN_MUL, .reads = R(1) | R(2) | R(3), .writes = R(0), .data = R(3)}},
	{"udiv r0, r1, r2", 0xfbb1f0f2, 4, {.class = INSN_DIV, .reads = R(1) | R(2), .writes = R(0)}},
	/* loads and stores */
	{"ldr r0, [r1], #4", 0xe4910004, 0,
	 {.class = INSN_LOAD, .reads = R(1), .writes = R(0) | R(1), .address = R(1), .updates = R(1), .transfers = 1}},
	{"ldrb r0, [r1, r2, lsl #2]", 0xe7d10102, 0,
	 {.class = INSN_LOAD, .reads = R(1) | R(2), .writes = R(0), .address = R(1) | R(2), .transfers = 1}},
	{"str r0, [r1, #4]!", 0xe5a10004, 0,
	 {.class = INSN_STORE, .reads = R(0) | R(1), .writes = R(1), .address = R(1), .data = R(0), .updates = R(1),
	  .transfers = 1}},
	{"ldrd r2, [r1, r4]", 0xe18120d4, 0,
	 {.class = INSN_LOAD, .reads = R(1) | R(4), .writes = R(2) | R(3), .address = R(1) | R(4), .transfers = 2}},
	{"pop {r4, r5, pc}", 0xe8bd8030, 0,
	 {.class = INSN_LOAD, .reads = SP, .writes = R(4) | R(5) | PC | SP, .address = SP, .updates = SP,
	  .transfers = 3}},
	{"strexd r0, r2, [r1]", 0xe1a10f92, 0,
	 {.class = INSN_STORE, .reads = R(1) | R(2) | R(3), .writes = R(0), .address = R(1), .data = R(2) | R(3),
	  .transfers = 2}},
	{"pld [r1, #64]", 0xf5d1f040, 0, {.class = INSN_LOAD, .reads = R(1), .address = R(1)}},
	{"pop {r4, pc}", 0xbd10, 2,
	 {.class = INSN_LOAD, .reads = SP, .writes = R(4) | PC | SP, .address = SP, .updates = SP, .transfers = 2}},
	{"ldmia r1, {r1, r2}", 0xc906, 2,
	 {.class = INSN_LOAD, .reads = R(1), .writes = R(1) | R(2), .address = R(1), .transfers = 2}},
	{"str r0, [sp, #4]", 0x9001, 2,
	 {.class = INSN_STORE, .reads = R(0) | SP, .address = SP, .data = R(0), .transfers = 1}},
	{"ldrd r0, r1, [r2, #8]!", 0xe9f20102, 4,
	 {.class = INSN_LOAD, .reads = R(2), .writes = R(0) | R(1) | R(2), .address = R(2), .updates = R(2),
	  .transfers = 2}},
	{"strexb r0, r1, [r2]", 0xe8c21f40, 4,
	 {.class = INSN_STORE, .reads = R(1) | R(2), .writes = R(0), .address = R(2), .data = R(1), .transfers = 1}},
	/* branches, with the way to their targets */
	{"b .+8", 0xea000000, 0, {.class = INSN_BRANCH, .writes = PC, .offset = 8}},
	{"bleq .-8", 0x0bfffffc, 0,
	 {.class = INSN_BRANCH, .reads = FLAGS, .writes = PC | LR, .offset = -8, .conditional = true}},
	{"blx r3", 0xe12fff33, 0, {.class = INSN_BRANCH, .reads = R(3), .writes = PC | LR}},
	{"beq.n .-6", 0xd0fb, 2, {.class = INSN_BRANCH, .reads = FLAGS, .writes = PC, .offset = -6, .conditional = true}},
	{"cbz r3, .+20", 0xb143, 2,
	 {.class = INSN_BRANCH, .reads = R(3), .writes = PC, .offset = 20, .conditional = true}},
	{"bl .+4096", 0xf000fffe, 4, {.class = INSN_BRANCH, .writes = PC | LR, .offset = 4096}},
	{"beq.w .-4096", 0xf43eaffe, 4,
	 {.class = INSN_BRANCH, .reads = FLAGS, .writes = PC, .offset = -4096, .conditional = true}},
	{"tbb [pc, r0]", 0xe8dff000, 4, {.class = INSN_BRANCH, .reads = R(0) | PC, .writes = PC, .address = R(0) | PC}},
	/* hints: 0x80 is a mark */
	{"nop {128}", 0xe320f080, 0, {.class = INSN_HINT, .hint = 0x80}},
	{"nop.w {128}", 0xf3af8080, 4, {.class = INSN_HINT, .hint = 0x80}},
	{"wfi", 0xe320f003, 0, {.class = INSN_HINT, .hint = 3, .special = SPECIAL_WFI}},
	{"wfi", 0xbf30, 2, {.class = INSN_HINT, .hint = 3, .special = SPECIAL_WFI}},
	{"it eq", 0xbf08, 2, {.class = INSN_HINT, .covers = 1}},
	{"itete eq", 0xbf0b, 2, {.class = INSN_HINT, .covers = 4}},
	/* system: what the model of the machine looks for, and its neighbours */
	{"mrrc p15, 0, r0, r1, c14", 0xec510f0e, 0,
	 {.class = INSN_SYSTEM, .writes = R(0) | R(1), .special = SPECIAL_COUNTER}},
	{"mrrc p15, 1, r0, r1, c14", 0xec510f1e, 0,
	 {.class = INSN_SYSTEM, .writes = R(0) | R(1), .special = SPECIAL_COUNTER}},
	{"mrrc p15, 1, r0, r1, c14", 0xec510f1e, 4,
	 {.class = INSN_SYSTEM, .writes = R(0) | R(1), .special = SPECIAL_COUNTER}},
	{"mrrc p15, 2, r0, r1, c14: CNTP_CVAL", 0xec510f2e, 0, {.class = INSN_SYSTEM, .writes = R(0) | R(1)}},
	{"mcr p15, 0, r0, c8, c7, 0", 0xee080f17, 0, {.class = INSN_SYSTEM, .reads = R(0), .special = SPECIAL_TLB_ALL}},
	{"mcr p15, 0, r0, c8, c3, 1", 0xee080f33, 0,
	 {.class = INSN_SYSTEM, .reads = R(0), .special = SPECIAL_TLB_ADDRESS}},
	{"mcr p15, 0, r0, c8, c7, 2", 0xee080f57, 0, {.class = INSN_SYSTEM, .reads = R(0), .special = SPECIAL_TLB_ASID}},
	{"mcr p15, 0, r0, c8, c3, 3", 0xee080f73, 0,
	 {.class = INSN_SYSTEM, .reads = R(0), .special = SPECIAL_TLB_ADDRESS}},
	{"mcr p15, 0, r0, c2, c0, 0", 0xee020f10, 0, {.class = INSN_SYSTEM, .reads = R(0), .special = SPECIAL_TTBR0}},
	{"mcr p15, 0, r0, c2, c0, 1: TTBR1", 0xee020f30, 0, {.class = INSN_SYSTEM, .reads = R(0)}},
	{"mcrr p15, 0, r0, r1, c2", 0xec410f02, 0,
	 {.class = INSN_SYSTEM, .reads = R(0) | R(1), .special = SPECIAL_TTBR0}},
	{"mcrr p15, 1, r0, r1, c2: TTBR1", 0xec410f12, 0, {.class = INSN_SYSTEM, .reads = R(0) | R(1)}},
	{"mcr p15, 0, r0, c13, c0, 1", 0xee0d0f30, 0,
	 {.class = INSN_SYSTEM, .reads = R(0), .special = SPECIAL_CONTEXTIDR}},
	{"mcr p15, 0, r0, c13, c0, 3: TPIDRURO", 0xee0d0f70, 0, {.class = INSN_SYSTEM, .reads = R(0)}},
	{"mrc p15, 0, r0, c2, c0, 0", 0xee120f10, 0, {.class = INSN_SYSTEM, .writes = R(0)}},
	{"mrs r0, CPSR", 0xe10f0000, 0, {.class = INSN_SYSTEM, .reads = FLAGS, .writes = R(0)}},
	{"dmb ish", 0xf57ff05b, 0, {.class = INSN_SYSTEM}},
	{"svc 0", 0xdf00, 2, {.class = INSN_SYSTEM}},
	/* VFP */
	{"vadd.f64 d0, d1, d18", 0xee310b22, 0, {.class = INSN_FP_ADD, .reads = D(1) | D(18), .writes = D(0)}},
	{"vadd.f64 d0, d1, d2", 0xee310b02, 4, {.class = INSN_FP_ADD, .reads = D(1) | D(2), .writes = D(0)}},
	{"vmla.f32 s0, s3, s5", 0xee010aa2, 0,
	 {.class = INSN_FP_MAC, .reads = D(0) | D(1) | D(2), .writes = D(0), .data = D(0)}},
	{"vdiv.f64 d0, d1, d2", 0xee810b02, 0, {.class = INSN_FP_DIV64, .reads = D(1) | D(2), .writes = D(0)}},
	{"vsqrt.f32 s0, s2", 0xeeb10ac1, 0, {.class = INSN_FP_DIV32, .reads = D(1), .writes = D(0)}},
	{"vcmp.f64 d8, #0", 0xeeb58b40, 0, {.class = INSN_FP_ADD, .reads = D(8), .writes = FPSCR}},
	{"vmrs APSR_nzcv, fpscr", 0xeef1fa10, 0, {.class = INSN_FP_MOVE, .reads = FPSCR, .writes = FLAGS}},
	{"vcvt.s32.f64 s3, d17", 0xeefd1be1, 0, {.class = INSN_FP_ADD, .reads = D(17), .writes = D(1)}},
	{"vmov s1, s2, r4, r5", 0xec454a30, 0, {.class = INSN_FP_MOVE, .reads = R(4) | R(5), .writes = D(0) | D(1)}},
	{"vldr d20, [r1, #8]", 0xedd14b02, 0,
	 {.class = INSN_LOAD, .reads = R(1), .writes = D(20), .address = R(1), .transfers = 2, .fp = true}},
	{"vpush {d8-d9}", 0xed2d8b04, 0,
	 {.class = INSN_STORE, .reads = SP | D(8) | D(9), .writes = SP, .address = SP, .data = D(8) | D(9), .updates = SP,
	  .transfers = 4, .fp = true}},
	/* Advanced SIMD */
	{"vadd.i32 q1, q2, q3", 0xf2242846, 0,
	 {.class = INSN_NEON, .reads = D(4) | D(5) | D(6) | D(7), .writes = D(2) | D(3)}},
	{"vshl.u32 q8, q2, q3", 0xff660444, 4,
	 {.class = INSN_NEON, .reads = D(4) | D(5) | D(6) | D(7), .writes = D(16) | D(17)}},
	{"vmla.f32 d0, d1, d2[1]", 0xf2a10162, 0,
	 {.class = INSN_NEON, .reads = D(0) | D(1) | D(2), .writes = D(0), .data = D(0)}},
	{"vmull.u8 q8, d1, d2", 0xf3c10c02, 0, {.class = INSN_NEON, .reads = D(1) | D(2), .writes = D(16) | D(17)}},
	{"vmovn.i32 d0, q8", 0xf3b60220, 0, {.class = INSN_NEON, .reads = D(16) | D(17), .writes = D(0)}},
	{"vtbl.8 d0, {d1-d3}, d4", 0xf3b10a04, 0,
	 {.class = INSN_NEON, .reads = D(1) | D(2) | D(3) | D(4), .writes = D(0)}},
	{"vld1.8 {d0-d3}, [r0]!", 0xf920020d, 4,
	 {.class = INSN_LOAD, .reads = R(0), .writes = R(0) | D(0) | D(1) | D(2) | D(3), .address = R(0),
	  .updates = R(0), .transfers = 8, .fp = true}},
	{"vld2.16 {d1,d3}, [r0], r2", 0xf4201942, 0,
	 {.class = INSN_LOAD, .reads = R(0) | R(2), .writes = R(0) | D(1) | D(3), .address = R(0) | R(2),
	  .updates = R(0), .transfers = 4, .fp = true}},
	{"vld1.8 {d5[2]}, [r3]", 0xf4a3504f, 0,
	 {.class = INSN_LOAD, .reads = R(3) | D(5), .writes = D(5), .address = R(3), .data = D(5), .transfers = 1,
	  .fp = true}},
	/* not instructions of ARMv7-A */
	{"a coprocessor that is not there", 0xee000110, 0, {.class = INSN_UNKNOWN}},
	{"VSEL of ARMv8", 0xfe000a00, 0, {.class = INSN_UNKNOWN}},
	{"LDA of ARMv8", 0xe1900c9f, 0, {.class = INSN_UNKNOWN}},
	{"no shift of a register", 0xfa00e000, 4, {.class = INSN_UNKNOWN}},
	{"HLT of ARMv8", 0xba80, 2, {.class = INSN_UNKNOWN}},
};

static unsigned int failures;

static void equal(const struct expected *e, const char *what, uint64_t got, uint64_t expected)
{
	if (got == expected)
		return;
	printf("%s (%08" PRIx32 "): %s is %#" PRIx64 ", not %#" PRIx64 "\n", e->text, e->word, what, got, expected);
	failures++;
}

static void check(const struct expected *e)
{
	struct insn insn;
	bool known = e->length ? decode_t32(e->word, e->length, &insn) : decode_a32(e->word, &insn);

	equal(e, "whether it is known", known, e->insn.class != INSN_UNKNOWN);
	equal(e, "class", insn.class, e->insn.class);
	equal(e, "length", insn.length, e->length ? e->length : 4);
	equal(e, "reads", insn.reads, e->insn.reads);
	equal(e, "writes", insn.writes, e->insn.writes);
	equal(e, "address", insn.address, e->insn.address);
	equal(e, "data", insn.data, e->insn.data);
	equal(e, "shifted", insn.shifted, e->insn.shifted);
	equal(e, "updates", insn.updates, e->insn.updates);
	equal(e, "transfers", insn.transfers, e->insn.transfers);
	equal(e, "offset", (uint64_t)(int64_t)insn.offset, (uint64_t)(int64_t)e->insn.offset);
	equal(e, "special", insn.special, e->insn.special);
	equal(e, "hint", insn.hint, e->insn.hint);
	equal(e, "covers", insn.covers, e->insn.covers);
	equal(e, "fp", insn.fp, e->insn.fp);
	equal(e, "conditional", insn.conditional, e->insn.conditional);
}

static void sane(const char *set, uint32_t word, bool known, const struct insn *insn)
{
	uint64_t all = ((uint64_t)1 << REG_COUNT) - 1;
	bool part = !(insn->address & ~insn->reads) && !(insn->data & ~insn->reads) && !(insn->shifted & ~insn->reads) &&
		    !(insn->updates & ~insn->writes);
	bool moves = insn->class == INSN_LOAD || insn->class == INSN_STORE;

	if (part && !((insn->reads | insn->writes) & ~all) && (moves || !insn->transfers) && insn->class < INSN_CLASSES &&
	    known == (insn->class != INSN_UNKNOWN))
		return;
	printf("%s %08" PRIx32 ": fields contradict each other\n", set, word);
	failures++;
}

/* Whatever the bits, the record agrees with itself and nothing is read or shifted out of bounds. */
static void check_all_kinds_of_bits(void)
{
	uint32_t word = 1;
	struct insn insn;
	bool known;

	for (unsigned int i = 0; i < 3000000; i++) {
		word = word * 1664525 + 1013904223;
		known = decode_a32(word, &insn);
		sane("A32", word, known, &insn);
		known = decode_t32(word, 4, &insn);
		sane("T32", word, known, &insn);
	}
	for (word = 0; word < 0xe800; word++) {
		known = decode_t32(word, 2, &insn);
		sane("T32", word, known, &insn);
	}
}

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&cases[i]);
	check_all_kinds_of_bits();
	if (failures)
		printf("test_decode: %u differences\n", failures);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

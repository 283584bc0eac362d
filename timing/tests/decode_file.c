// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads lines "address word length a32|t32" (address and word in hexadecimal, the first halfword of a T32 instruction
 * high), and prints for each
 *	address class reads writes address data transfers offset special hint covers marks
 * with registers as a list (r0,r15,flags,d31,fpscr, or - for none) and marks a string of f (fp) and c (conditional), or -;
 * or "address unknown".
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../decode.h"

static const char *const classes[INSN_CLASSES] = {
	[INSN_UNKNOWN] = "unknown", [INSN_ALU] = "alu", [INSN_SHIFT] = "shift", [INSN_MUL] = "mul",
	[INSN_MUL_LONG] = "mul_long", [INSN_DIV] = "div", [INSN_LOAD] = "load", [INSN_STORE] = "store",
	[INSN_BRANCH] = "branch", [INSN_FP_ADD] = "fp_add", [INSN_FP_MUL] = "fp_mul", [INSN_FP_MAC] = "fp_mac",
	[INSN_FP_DIV32] = "fp_div32", [INSN_FP_DIV64] = "fp_div64", [INSN_FP_MOVE] = "fp_move",
	[INSN_NEON] = "neon", [INSN_SYSTEM] = "system", [INSN_HINT] = "hint",
};

static const char *const specials[] = {
	[SPECIAL_NONE] = "-", [SPECIAL_COUNTER] = "counter", [SPECIAL_TLB_ALL] = "tlb_all",
	[SPECIAL_TLB_ADDRESS] = "tlb_address", [SPECIAL_TLB_ASID] = "tlb_asid", [SPECIAL_TTBR0] = "ttbr0",
	[SPECIAL_CONTEXTIDR] = "contextidr", [SPECIAL_WFI] = "wfi",
};

static void print_registers(uint64_t registers)
{
	const char *separator = " ";

	for (unsigned int r = 0; r < REG_COUNT; r++) {
		if (!(registers & reg_bit(r)))
			continue;
		if (r <= REG_PC)
			printf("%sr%u", separator, r);
		else if (r == REG_FLAGS || r == REG_FPSCR)
			printf("%s%s", separator, r == REG_FLAGS ? "flags" : "fpscr");
		else
			printf("%sd%u", separator, r - REG_D0);
		separator = ",";
	}
	if (!registers)
		printf(" -");
}

static void print_insn(const char *address, const struct insn *insn)
{
	printf("%s %s", address, classes[insn->class]);
	print_registers(insn->reads);
	print_registers(insn->writes);
	print_registers(insn->address);
	print_registers(insn->data);
	printf(" %u %" PRId32 " %s %u %u %s%s%s\n", insn->transfers, insn->offset, specials[insn->special], insn->hint,
	       insn->covers, insn->fp ? "f" : "", insn->conditional ? "c" : "",
	       insn->fp || insn->conditional ? "" : "-");
}

int main(void)
{
	char line[128], address[17], set[4];
	unsigned int length;
	uint32_t word;

	for (unsigned long n = 1; fgets(line, sizeof(line), stdin); n++) {
		struct insn insn;
		bool known;

		if (sscanf(line, "%16s %" SCNx32 " %u %3s", address, &word, &length, set) != 4 ||
		    (strcmp(set, "a32") && strcmp(set, "t32")) || (length != 2 && length != 4)) {
			fprintf(stderr, "decode_file: line %lu is not 'address word length a32|t32': %s", n, line);
			return 2;
		}
		known = strcmp(set, "a32") ? decode_t32(word, length, &insn) : decode_a32(word, &insn);
		if (known)
			print_insn(address, &insn);
		else
			printf("%s unknown\n", address);
	}
	return 0;
}

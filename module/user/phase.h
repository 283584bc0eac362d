/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Marks in a program's instructions: here phase n (0 to 30) begins, here it ends.
 *
 * A mark is a hint that no ARM processor knows, and one which is not known does nothing (Arm
 * Architecture Reference Manual, "Unallocated hints"). An emulator that looks for it can count what
 * happens in between. Macros, since the number must be in the instruction at -O0 too; compilers do
 * not move accesses to memory over a mark.
 */
#ifndef PHASE_H
#define PHASE_H

#if defined(__thumb2__)
#define PHASE_HINT ".inst.w 0xf3af8000 + %c0"
#elif defined(__arm__)
#define PHASE_HINT ".inst 0xe320f000 + %c0"
#else
#define PHASE_HINT ""
#endif

#define PHASE_MARK(code) ({ asm volatile(PHASE_HINT : : "i" (code) : "memory"); })

#define phase_begin(n) PHASE_MARK(0x82 + 2 * (n))
#define phase_end(n) PHASE_MARK(0x83 + 2 * (n))

#endif /* PHASE_H */

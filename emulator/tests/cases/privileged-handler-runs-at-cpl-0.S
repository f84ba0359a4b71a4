/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A marked gate whose code segment would run at CPL 3 (conforming) becomes
 * #DF: PKRS is never cleared for user code.
 */
#include "test.h"

	.globl test_main
test_main:
# SEL_KCODE32 becomes a conforming 64-bit code segment
	movabsq $0x00af9f000000ffff, %rax
	movq %rax, rt_gdt + SEL_KCODE32
	gate VEC_UD, (GATE_PRIV|1)
	movw $SEL_KCODE32, rt_idt + VEC_UD * 16 + 2
	cki_on
	user user_ud2, PKRS_GUEST
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_cs, 0xffffffec0000002b)
	CHECK(ev_pkrs, 0)
	ret

	user_section
user_ud2:
	ud2

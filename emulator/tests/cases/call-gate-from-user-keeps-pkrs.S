/* SPDX-License-Identifier: GPL-2.0-only */
/* A call gate brings user code into ring 0 with the PKRS it had. */
#include "test.h"

	.globl test_main
test_main:

	movl $gate_target, %eax
	movw %ax, rt_gdt + SEL_CALLGATE
	movw %ax, rt_gdt + SEL_UCALLGATE
	shrl $16, %eax
	movw %ax, rt_gdt + SEL_CALLGATE + 6
	movw %ax, rt_gdt + SEL_UCALLGATE + 6

	cki_on
	movq $entered, ev_go_user
	user user_code, PKRS_GUEST
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_rip, gate_target)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_KCODE)
	ret

gate_target:
	ud2
entered:
	.data
ev_go_user: .quad 0

	user_section
user_code:
	lcall *to_gate(%rip)
1: jmp 1b
to_gate: .long 0
	.word (SEL_UCALLGATE+3)

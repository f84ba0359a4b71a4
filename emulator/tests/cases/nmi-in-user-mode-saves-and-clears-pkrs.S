/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An NMI at CPL 3 saves and clears PKRS, also through a gate that is not
 * marked.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_NMI, 1
	cki_on
	movq $first, ev_hook
	catch call raise
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_count, 2)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec0000002b)
	ret

raise:
	movl $0x400, %eax
	call rt_self

spin:
	pause
	jmp spin

first:
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_cs, SEL_KCODE)
	CHECK(ev_pkrs, 0)
	movl $0x400, %eax
	call rt_self
	iretq_to user_spin, SEL_UCODE3, 2, $user_stack_top, SEL_UDATA3, PKRS_GUEST

	user_section
user_spin:
	pause
	jmp user_spin

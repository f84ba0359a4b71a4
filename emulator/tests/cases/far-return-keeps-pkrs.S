/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RETF is allowed in deprivileged mode, to ring 0 and to ring 3, and leaves
 * PKRS, IF and IOPL alone.
 */
#include "test.h"

	.globl test_main
test_main:

	cki_on
	set_pkrs PKRS_GUEST
	pushq $SEL_KCODE
	pushq $same
	lretq
same:
	CHECK_PKRS(PKRS_GUEST)
	catch call outward
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_cs, SEL_UCODE3)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK_MASKED(ev_rflags, (RFLAGS_IF|RFLAGS_IOPL), 0)
	ret

outward:
	pushq $SEL_UDATA3
	pushq $user_stack_top
	pushq $SEL_UCODE3
	pushq $user_code
	lretq

	user_section
user_code:
	int $VEC_USER
1: jmp 1b

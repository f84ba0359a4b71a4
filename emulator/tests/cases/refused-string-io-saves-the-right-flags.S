/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frame of a refused REP OUTS holds the flags of the instruction before it,
 * and not its operands: an IRET would load IF and IOPL from there.
 */
#include "test.h"

	.globl	test_main
test_main:
	cki_on
	movq	$-1, %rbx
	movl	$3, %ecx
	user	user_outs, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK_MASKED(ev_rflags, 0x3e7fd7, RFLAGS_IF|0x13)
	movq	$-1, %rbx
	movl	$3, %ecx
	set_pkrs 0
	user	user_ins, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	CHECK_MASKED(ev_rflags, 0x3e7fd7, RFLAGS_IF|0x13)
	ret

	/* 3 - 0xff: CF and AF, no other flag */
	user_section
user_outs:
	subb	%bl, %cl
	rep outsb
user_ins:
	subb	%bl, %cl
	rep insb

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A loop of MOV SS does not keep an interrupt from arriving: the shadow of
 * one covers one instruction.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movl $VEC_IRQ, %eax
	call rt_self
	guest shadows, PKRS_GUEST
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_frame, (ist1_top-40))
	ret

shadows:
	movl $SEL_KDATA, %ecx
1: movw %cx, %ss
	movw %cx, %ss
	jmp 1b

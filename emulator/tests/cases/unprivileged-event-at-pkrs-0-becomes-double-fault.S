/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fault at PKRS = 0 through a gate that is not marked becomes #DF: a
 * handler of the container never runs with PKRS = 0.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	catch ud2
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_error, 0)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, SEL_KCODE)
	CHECK(ev_frame, (ist1_top-40))
	catch movq 0x40000000, %rax
	CHECK(ev_vector, VEC_DF)
	movl $0x1000, %ecx
	catch movw %cx, %ds
	CHECK(ev_vector, VEC_DF)
	xorl %ecx, %ecx
	catch divl %ecx
	CHECK(ev_vector, VEC_DF)
	catch int3
	CHECK(ev_vector, VEC_DF)
	catch int $VEC_USER
	CHECK(ev_vector, VEC_DF)
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A single-step trap that MOV SS holds back arrives behind the WRPKRS that
 * follows, at PKRS = 0.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	guest step, PKRS_GUEST
	CHECK(ev_vector, VEC_DB)
	CHECK(ev_rip, stepped)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, SEL_KCODE)
	ret

step:
	movl $SEL_KDATA, %ecx
	pushq $(RFLAGS_TF|2)
	xorl %eax, %eax
	popfq
	movw %cx, %ss
	wrpkrs
stepped:
	ud2

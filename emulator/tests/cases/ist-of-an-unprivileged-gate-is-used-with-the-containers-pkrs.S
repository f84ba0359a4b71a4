/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A gate that is not marked writes its frame with the current PKRS even to
 * an IST stack; here that is a page fault.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_UD, 2
	movq $(key1_word+64), %rax
	movq %rax, rt_tss+0x2c
	cki_on
	set_pkrs PKRS_GUEST
	catch ud2
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_W|PF_PK))
	CHECK(ev_cr2, (key1_word+56))
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_KCODE)
	set_pkrs 0
	CHECK(key1_word+40, 0)
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page fault at CPL 3 through a gate that is not marked enters the
 * container on RSP0 with its PKRS.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	user user_load, PKRS_GUEST
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_U))
	CHECK(ev_cr2, key1_word)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_UCODE3)
	CHECK(ev_frame, (rsp0_top-40))
	CHECK_MASKED(ev_now_rflags, RFLAGS_IF, RFLAGS_IF)
	ret

	user_section
user_load:
	movq key1_word, %rax

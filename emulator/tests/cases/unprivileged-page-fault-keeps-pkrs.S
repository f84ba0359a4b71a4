/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page fault in deprivileged mode through a gate that is not marked is
 * delivered on the container's stack with its PKRS, and reports the
 * protection key.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
	catch movq key1_word, %rbx
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_PK))
	CHECK(ev_cr2, key1_word)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_KCODE)
	movq %rsp, %rax
	andq $-16, %rax
	subq $40, %rax
	subq ev_frame, %rax
	CHECK_REG(%rax, 0)
	catch movq %rbx, key1_word
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_W|PF_PK))
	catch movq %rbx, key2_word
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_W|PF_PK))
	catch movq key2_word, %rbx
	CHECK(ev_vector, NO_EVENT)
	CHECK_REG(%rbx, 0x2222)
	ret

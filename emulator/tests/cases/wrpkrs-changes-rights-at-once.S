/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rights follow WRPKRS in both directions and from one value to another,
 * also for a page that was just used.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movl $100, %r12d
1: set_pkrs 0
	catch movq $0x1111, key1_word
	CHECK(ev_vector, NO_EVENT)
	set_pkrs PKRS_GUEST
	catch movq key1_word, %rbx
	CHECK(ev_vector, VEC_PF)
	catch movq $0, key1_word
	CHECK(ev_vector, VEC_PF)
	set_pkrs PKRS_OTHER
	catch movq key1_word, %rbx
	CHECK(ev_vector, NO_EVENT)
	CHECK_REG(%rbx, 0x1111)
	catch movq $0, key1_word
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_W|PF_PK))
	set_pkrs KEY_AD(4)
	catch movq $0x1111, key1_word
	CHECK(ev_vector, NO_EVENT)
	set_pkrs PKRS_GUEST
	catch movq $0, key1_word
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_W|PF_PK))
	decl %r12d
	jnz 1b
	ret

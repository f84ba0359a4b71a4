/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SMAP and SMEP work in deprivileged mode as at PKRS = 0, and PKRS does not
 * apply to user pages.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_PF, (GATE_PRIV|1)
	cki_on
	.irp value, 0, PKRS_GUEST, PKRS_OTHER
	set_pkrs \value
	catch movq user_word, %rbx
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, PF_P)
	set_pkrs \value
	stac
	catch movq user_word, %rbx
	clac
	CHECK(ev_vector, NO_EVENT)
	CHECK_REG(%rbx, 0x3333)
	catch call user_code
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_I))
	.endr
# a user page with a closed key: PKRS does not matter
	set_pkrs 0
	movl $user_word, %ecx
	shrl $12, %ecx
	movabsq $PTE_KEY(1), %rax
	orq %rax, rt_pt(, %rcx, 8)
	invlpg user_word
	set_pkrs PKRS_GUEST
	stac
	catch movq user_word, %rbx
	clac
	CHECK(ev_vector, NO_EVENT)
	ret

	user_section
user_word: .quad 0x3333
user_code: ret

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SYSRET in deprivileged mode sets IF, clears IOPL, VM and RF, and takes the
 * other flags from R11; at PKRS = 0 it takes IF and IOPL from R11.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
	movq $user_int, %rcx
	movl $(RFLAGS_IOPL|RFLAGS_VM|RFLAGS_AC|3), %r11d
	catch sysretq
	CHECK(ev_vector, VEC_USER)
	CHECK_MASKED(ev_rflags, (RFLAGS_IF|RFLAGS_IOPL|RFLAGS_VM|RFLAGS_RF|RFLAGS_AC|1), (RFLAGS_IF|RFLAGS_AC|1))
	movq $user_int, %rcx
	movl $(RFLAGS_IOPL|2), %r11d
	catch sysretl
	CHECK(ev_vector, VEC_USER)
	CHECK_MASKED(ev_rflags, (RFLAGS_IF|RFLAGS_IOPL), RFLAGS_IF)
	CHECK(ev_cs, SEL_UCODE32+3)
	set_pkrs 0
	gate VEC_PF, (GATE_PRIV|1)
	movq $user_fault, %rcx
	movl $(RFLAGS_IOPL|2), %r11d
	catch sysretq
	CHECK(ev_vector, VEC_PF)
	CHECK_MASKED(ev_rflags, (RFLAGS_IF|RFLAGS_IOPL), RFLAGS_IOPL)
	ret

	user_section
user_int:
	int $VEC_USER
user_fault:
	movq key1_word, %rax

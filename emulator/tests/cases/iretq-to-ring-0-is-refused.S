/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRETQ in deprivileged mode to CPL 0, 1 or 2 raises #GP(0) before the rest of
 * the frame and the descriptor are looked at.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
	movq $nowhere, test_page+4080
	movl $2, %ebp
1: .irp selector, SEL_KCODE, 0, 1, 2, 0xfff8, SEL_UCODE, SEL_UCODE+1, SEL_UCODE+2, SEL_KDATA, SEL_TSS
	movq $\selector, test_page+4088
	movq $(test_page+4080), %rsp
	catch iretq
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_pkrs, PKRS_GUEST)
	movq try_insn, %rax
	cmpq %rax, ev_rip
	jne fail
	.endr
# the same where RFLAGS, RSP and SS cannot be read
	movl $test_page2, %eax
	shrl $12, %eax
	movq $0, rt_pt(, %rax, 8)
	invlpg test_page2
	decl %ebp
	jnz 1b
	set_pkrs 0
	movq $rt_stack_top-8, %rsp
	ret

fail:
	FAIL
nowhere:
	FAIL

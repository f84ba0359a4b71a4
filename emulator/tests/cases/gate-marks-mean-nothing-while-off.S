/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * With CKI_CTL.EN = 0 a marked gate is an ordinary gate: no IST stack
 * needed, PKRS stays, software may pass.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_UD, GATE_PRIV
	gate VEC_GP, GATE_PRIV
	gate VEC_BP, GATE_PRIV
	set_msr MSR_PKRS, PKRS_GUEST
	catch ud2
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_cs, SEL_KCODE)
	movl $MSR_PKRS, %ecx
	rdmsr
	movl %eax, %eax
	CHECK_REG(%rax, PKRS_GUEST)
	catch int3
	CHECK(ev_vector, VEC_BP)
	catch int $VEC_UD
	CHECK(ev_vector, VEC_UD)
# and IRETQ takes no PKRS from the frame
	set_msr MSR_PKRS, 0
	iretq_to landed, SEL_KCODE, 2, $guest_stack_top, SEL_KDATA, PKRS_GUEST
landed:
	movl $MSR_PKRS, %ecx
	rdmsr
	CHECK_REG(%rax, 0)
	movq $rt_stack_top-8, %rsp
	ret

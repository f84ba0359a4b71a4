/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * V_IRQ waits while the guest holds events, and so does the #VMEXIT of an
 * intercepted VINTR, which says that the guest would take one.
 */
#include "svm.h"

	.globl test_main
test_main:
	svm_prepare lets_go, 0
	movl $V_IRQ, svm_vmcb + VMCB_V_INTR
	movl $VEC_IRQ, svm_vmcb + VMCB_V_VECTOR
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, gone)
	CHECK_MASKED(ev_cs, 0xffffffff00000000, 0xffffffec00000000)
	CHECK_MASKED(svm_vmcb + VMCB_V_INTR, V_IRQ, 0)

	svm_prepare lets_go, 0
	movl $V_IRQ, svm_vmcb + VMCB_V_INTR
	movl $VEC_IRQ, svm_vmcb + VMCB_V_VECTOR
	orl $INTERCEPT(EXIT_VINTR), svm_vmcb + VMCB_INTERCEPT
	enter
	CHECK_EXIT(EXIT_VINTR)
	CHECK_VMCB(VMCB_RIP, gone)
	CHECK_VMCB(VMCB_GUEST_PKRS, PKRS_GUEST)
	CHECK(ev_vector, NO_EVENT)
	ret

lets_go:
	movq $back, try_rip
	movq %rsp, try_rsp
	movq $NO_EVENT, ev_vector
	movl $1000, %ecx
1:	loop 1b
	set_pkrs PKRS_GUEST
gone:	jmp gone
back:
	vmmcall

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest without the extension takes a V_IRQ whose priority was too low once
 * it lowers V_TPR by MOV to CR8.  (Stock QEMU ends itself by an assertion.)
 */
#include "svm.h"

	.globl test_main
test_main:
	svm_prepare lowers, 0
	vmcb VMCB_CKI_CTL, 0
	movl $(V_IRQ | V_INTR_PRIO(5) | V_TPR(8)), svm_vmcb + VMCB_V_INTR
	movl $VEC_IRQ, svm_vmcb + VMCB_V_VECTOR
	movl $svm_vmcb, %eax
	vmrun
	stgi
	CHECK_VMCB(VMCB_EXITCODE, EXIT_VMMCALL)
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, lowered)
	CHECK_MASKED(svm_vmcb + VMCB_V_INTR, V_IRQ, 0)
	ret

lowers:
	movq $back, try_rip
	movq %rsp, try_rsp
	movq $NO_EVENT, ev_vector
	movl $1000, %ecx
1:	loop 1b
	xorl %eax, %eax
	movq %rax, %cr8
lowered:
	jmp lowered
back:
	vmmcall

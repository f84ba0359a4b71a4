/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In a guest whose VMCB does not give it the extension any WRMSR to CKI_CTL
 * raises #GP(0), and VMRUN and #VMEXIT leave PKRS and the VMCB's fields alone.
 */
#include "svm.h"

	.globl test_main
test_main:
	svm_prepare tries, PKRS_GUEST
	vmcb VMCB_CKI_CTL, 0
	vmcb VMCB_CKI_HELD, 0x1234
	set_msr MSR_PKRS, KEY_AD(4)
	movl $svm_vmcb, %eax
	vmrun
	stgi
	CHECK_VMCB(VMCB_EXITCODE, EXIT_VMMCALL)
	CHECK_REG(%r12, VEC_GP)
	CHECK_REG(%r13, VEC_GP)
	CHECK_REG(%r14, 0)
	CHECK_REG(%r15, KEY_AD(4))
	CHECK_VMCB(VMCB_GUEST_CKI_CTL, CKI_CTL_EN)
	CHECK_VMCB(VMCB_GUEST_PKRS, PKRS_GUEST)
	CHECK_VMCB(VMCB_CKI_HELD, 0x1234)
	movl $MSR_PKRS, %ecx
	rdmsr
	CHECK_REG(%rax, KEY_AD(4))
	set_msr MSR_PKRS, 0
	ret

tries:
	movl $MSR_PKRS, %ecx
	rdmsr
	movq %rax, %r15
	set_msr MSR_PKRS, 0
	movl $MSR_CKI_CTL, %ecx
	movl $CKI_CTL_EN, %eax
	catch wrmsr
	movq ev_vector, %r12
	xorl %eax, %eax
	catch wrmsr
	movq ev_vector, %r13
	rdmsr
	movq %rax, %r14
	set_msr MSR_PKRS, KEY_AD(4)
	vmmcall

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMRUN exits with VMEXIT_INVALID, and loads nothing of the extension, when a
 * reserved bit is set or EN = 1 would lack long mode or CR4.PKS.
 */
#include "svm.h"

	.globl test_main
test_main:
	svm_prepare never, PKRS_GUEST
	vmcb VMCB_CKI_CTL, 3
	call check_invalid
	svm_prepare never, PKRS_GUEST
	vmcb VMCB_GUEST_CKI_CTL, 2
	call check_invalid
	svm_prepare never, 0x100000000
	call check_invalid
	svm_prepare never, PKRS_GUEST
	andl $~CR4_PKS, svm_vmcb + VMCB_CR4
	call check_invalid
	svm_prepare never, PKRS_GUEST
	movl $0x1000, svm_vmcb + VMCB_EFER
	andl $~CR0_PG, svm_vmcb + VMCB_CR0
	call check_invalid
	ret

check_invalid:
	movq svm_vmcb + VMCB_GUEST_CKI_CTL, %r12
	movq svm_vmcb + VMCB_GUEST_PKRS, %r13
	enter
	CHECK_EXIT(EXIT_INVALID)
	cmpq %r12, svm_vmcb + VMCB_GUEST_CKI_CTL
	jne never
	cmpq %r13, svm_vmcb + VMCB_GUEST_PKRS
	jne never
	ret

never:
	FAIL

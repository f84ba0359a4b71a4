/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In a guest that holds events (EN = 1, PKRS = 0, CPL = 0) an interrupt or NMI
 * that the hypervisor intercepts exits at once; one that it does not waits for
 * the guest's WRPKRS.
 */
#include "svm.h"

	.globl test_main
test_main:
	svm_prepare spin, 0
	orl $INTERCEPT(EXIT_INTR), svm_vmcb + VMCB_INTERCEPT
	movl $VEC_IRQ, %eax
	call rt_self
	enter
	CHECK_EXIT(EXIT_INTR)
	CHECK_VMCB(VMCB_RIP, spin)
	CHECK_VMCB(VMCB_GUEST_PKRS, 0)
	CHECK_MASKED(svm_vmcb + VMCB_EXITINTINFO, EVENT_VALID, 0)
# it is still there; without the intercept it is the guest's, when that lets it
	svm_prepare lets_go, 0
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, gone)
	CHECK_MASKED(ev_cs, 0xffffffff00000000, 0xffffffec00000000)

	svm_prepare spin, 0
	orl $INTERCEPT(EXIT_NMI), svm_vmcb + VMCB_INTERCEPT
	clgi
	movl $0x400, %eax
	call rt_self
	movl $svm_vmcb, %eax
	vmrun
	CHECK_VMCB(VMCB_EXITCODE, EXIT_NMI)
	CHECK_VMCB(VMCB_RIP, spin)
	svm_prepare lets_go, 0
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, gone)
	CHECK_MASKED(ev_cs, 0xffffffff00000000, 0xffffffec00000000)
	ret

spin:	jmp spin

lets_go:
	movq $back, try_rip
	movq %rsp, try_rsp
	movq $NO_EVENT, ev_vector
	movl $1000, %ecx
1:	loop 1b
	set_pkrs PKRS_GUEST
gone:	jmp gone
back:
	call rt_eoi
	vmmcall

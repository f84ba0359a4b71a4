/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMRUN gives a guest whose VMCB allows it the CKI_CTL and PKRS that were saved,
 * and #VMEXIT saves them and leaves EN = 0 and PKRS = 0 to the host.
 */
#include "svm.h"

	.globl test_main
test_main:
	gate VEC_GP, (GATE_PRIV|1)
	svm_prepare deprivileged, PKRS_GUEST
	enter
	CHECK_EXIT(EXIT_CPUID)
	CHECK_VMCB(VMCB_RIP, deprivileged_cpuid)
	CHECK_REG(%r12, PKRS_GUEST)
	CHECK_VMCB(VMCB_GUEST_CKI_CTL, CKI_CTL_EN)
	CHECK_VMCB(VMCB_GUEST_PKRS, PKRS_OTHER)
# what it saved is what the next VMRUN loads; the guest is deprivileged
	vmcb VMCB_RIP, refused
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_rip, refused_insn)
	CHECK_MASKED(ev_cs, 0xffffffff00000000, 0xffffffe800000000)
# the handler left it at PKRS = 0
	CHECK_VMCB(VMCB_GUEST_CKI_CTL, CKI_CTL_EN)
	CHECK_VMCB(VMCB_GUEST_PKRS, 0)
# a guest that may have it switches it on and off itself
	svm_prepare switches, 0
	vmcb VMCB_GUEST_CKI_CTL, 0
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK_VMCB(VMCB_GUEST_CKI_CTL, CKI_CTL_EN)
	CHECK_VMCB(VMCB_GUEST_PKRS, 0)
	vmcb VMCB_RIP, switches_off
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK_VMCB(VMCB_GUEST_CKI_CTL, 0)
# with the extension off PKRS is loaded and saved all the same
	svm_prepare stock, KEY_AD(4)
	vmcb VMCB_GUEST_CKI_CTL, 0
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK_REG(%r12, KEY_AD(4))
	CHECK_VMCB(VMCB_GUEST_CKI_CTL, 0)
	CHECK_VMCB(VMCB_GUEST_PKRS, KEY_AD(4))
	ret

deprivileged:
	rdpkrs
	movq %rax, %r12
	set_pkrs PKRS_OTHER
deprivileged_cpuid:
	cpuid

refused:
	movq $back, try_rip
	movq %rsp, try_rsp
	movq $NO_EVENT, ev_vector
refused_insn:
	vmmcall
back:
	vmmcall

switches:
	set_msr MSR_CKI_CTL, CKI_CTL_EN
	vmmcall
switches_off:
	set_msr MSR_CKI_CTL, 0
	vmmcall

stock:
	movl $MSR_PKRS, %ecx
	rdmsr
	movq %rax, %r12
	vmmcall

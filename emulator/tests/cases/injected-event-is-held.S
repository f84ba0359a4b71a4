/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An interrupt or NMI that VMRUN injects into a guest that holds events waits
 * for the guest's WRPKRS, whatever RFLAGS.IF is.  A #VMEXIT in between reports
 * it in EXITINTINFO.  An injected exception is not held.
 */
#include "svm.h"

	.globl test_main
test_main:
	.irp event, (EVENT_INTR|VEC_IRQ), EVENT_NMI
	svm_prepare asks, 0
	movl $2, svm_vmcb + VMCB_RFLAGS
	movl $\event, svm_vmcb + VMCB_EVENTINJ
	movq $NO_EVENT, ev_vector
	enter
	CHECK_EXIT(EXIT_CPUID)
	CHECK(ev_vector, NO_EVENT)
	CHECK_VMCB(VMCB_RIP, asks_cpuid)
	CHECK_VMCB32(VMCB_EXITINTINFO, \event)
	CHECK_VMCB32(VMCB_EVENTINJ, 0)
	CHECK_VMCB(VMCB_CKI_HELD, 0)
# as a hypervisor does
	movl $\event, svm_vmcb + VMCB_EVENTINJ
	vmcb VMCB_RIP, lets_go
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK(ev_vector, (\event & 0xff))
	CHECK(ev_rip, gone)
	CHECK_MASKED(ev_cs, 0xffffffff00000000, 0xffffffec00000000)
	CHECK_MASKED(svm_vmcb + VMCB_EXITINTINFO, EVENT_VALID, 0)
# without holding it arrives at once, and is privileged
	svm_prepare gone, PKRS_OTHER
	movl $\event, svm_vmcb + VMCB_EVENTINJ
	movq $back, try_rip
	movq $guest_stack_top, try_rsp
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK(ev_vector, (\event & 0xff))
	CHECK(ev_rip, gone)
	CHECK(ev_pkrs, 0)
	CHECK_MASKED(ev_cs, 0xffffffff00000000, 0xffffffe800000000)
	.endr

# an exception
	svm_prepare gone, 0
	movl $(EVENT_EXCEPTION|VEC_DB), svm_vmcb + VMCB_EVENTINJ
	movq $back, try_rip
	movq $guest_stack_top, try_rsp
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK(ev_vector, VEC_DB)
	CHECK(ev_rip, gone)

# an exit from the delivery of another event reports that one, and the held one
# in a field of its own
	gate VEC_UD, (GATE_PRIV|2)
	movl $(ist2_top - 4096), %ebx
	shrl $12, %ebx
	andq $~1, rt_pt(, %rbx, 8)
	movq %cr3, %rax
	movq %rax, %cr3
	svm_prepare undefined, 0
	movl $(1 << VEC_PF), svm_vmcb + VMCB_EXCEPTIONS
	movl $EVENT_NMI, svm_vmcb + VMCB_EVENTINJ
	enter
	CHECK_EXIT(EXIT_PF)
	CHECK_VMCB32(VMCB_EXITINTINFO, (EVENT_EXCEPTION|VEC_UD))
	CHECK_VMCB(VMCB_CKI_HELD, EVENT_NMI)
	ret

undefined:
	ud2

asks:
	movl $1000, %ecx
1:	loop 1b
asks_cpuid:
	cpuid

lets_go:
	movq $back, try_rip
	movq %rsp, try_rsp
	movl $1000, %ecx
1:	loop 1b
	cmpq $NO_EVENT, ev_vector
	jne 2f
	set_pkrs PKRS_GUEST
gone:	jmp gone
2:	FAIL
back:
	vmmcall

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An interrupt that VMRUN injected and that its guest holds is still held when
 * the machine has migrated: the next #VMEXIT reports it, and saves the guest's
 * extension. After READY the harness waits for r15 to say that the guest spins,
 * migrates it and injects a machine check, which exits.
 */
#include "svm.h"

	.globl test_main
test_main:
	svm_prepare spin, 0
	movl $(1 << VEC_MC), svm_vmcb + VMCB_EXCEPTIONS
	movl $(EVENT_INTR|VEC_IRQ), svm_vmcb + VMCB_EVENTINJ
	movq $ready, %rsi
	call rt_puts
	movabsq $0x5350494e4e494e47, %r15	/* SPINNING */
	enter
	CHECK_EXIT(EXIT_MC)
	CHECK_VMCB32(VMCB_EXITINTINFO, (EVENT_INTR|VEC_IRQ))
	CHECK_VMCB(VMCB_GUEST_CKI_CTL, CKI_CTL_EN)
	CHECK_VMCB(VMCB_GUEST_PKRS, 0)
	CHECK(ev_count, 0)
	ret

spin:	pause
	jmp spin

	.data
ready:	.asciz "READY\n"

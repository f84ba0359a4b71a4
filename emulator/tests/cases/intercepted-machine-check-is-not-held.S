/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine check that no instruction caused leaves a guest at once when the
 * hypervisor intercepts #MC, also while the guest holds events. After READY the
 * harness waits for r15 to say that the guest spins, and injects it then.
 */
#include "svm.h"

	.globl test_main
test_main:
	svm_prepare spin, 0
	movl $(1 << VEC_MC), svm_vmcb + VMCB_EXCEPTIONS
	movq $ready, %rsi
	call rt_puts
	movabsq $0x5350494e4e494e47, %r15	/* SPINNING */
	enter
	CHECK_EXIT(EXIT_MC)
	CHECK_VMCB(VMCB_GUEST_CKI_CTL, CKI_CTL_EN)
	CHECK_VMCB(VMCB_GUEST_PKRS, 0)
	CHECK(ev_count, 0)
	ret

spin:	pause
	jmp spin

	.data
ready:	.asciz "READY\n"

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A system management interrupt runs its handler outside of the extension, and
 * RSM brings back EN and PKRS: at PKRS = 0 in ring 0, and with the PKRS of a
 * container in user code that IOPL lets write the port.  Needs a chipset with
 * SMM and the firmware's handler; the harness gives this image a q35.
 */
#include "test.h"

#define APM_CONTROL	0xb2
#define MSR_SMI_COUNT	0x34

	.globl	test_main
test_main:
	movl	$MSR_SMI_COUNT, %ecx
	rdmsr
	movl	%eax, %r12d
	cki_on
	movl	$0x55, %eax
	outb	%al, $APM_CONTROL
	CHECK_PKRS(0)
	movl	$MSR_CKI_CTL, %ecx
	rdmsr
	CHECK_REG(%rax, CKI_CTL_EN)
	movl	$MSR_SMI_COUNT, %ecx
	rdmsr
	subl	%r12d, %eax
	CHECK_REG(%rax, 1)

	user	user_smi, PKRS_GUEST, 0x3202
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_rip, user_after)
	CHECK(ev_pkrs, PKRS_GUEST)
	/* still deprivileged, with the same rights */
	catch	cli
	CHECK_REFUSED
	catch	movq key1_word, %rbx
	CHECK(ev_vector, VEC_PF)
	set_pkrs 0
	movl	$MSR_SMI_COUNT, %ecx
	rdmsr
	subl	%r12d, %eax
	CHECK_REG(%rax, 2)
	ret

	user_section
user_smi:
	movl	$0x55, %eax
	outb	%al, $APM_CONTROL
	int	$VEC_USER
user_after:
1:	jmp	1b

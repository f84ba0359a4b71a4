/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A system management interrupt is not held at PKRS = 0, and lets nothing in
 * that is: an external interrupt and an NMI that were held before it are held
 * after RSM, too.
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
	raise	VEC_IRQ
	raise	SEND_NMI
	sti
	movl	$0x55, %eax
	outb	%al, $APM_CONTROL
	wait_a_while
	movl	$MSR_SMI_COUNT, %ecx
	rdmsr
	subl	%r12d, %eax
	CHECK_REG(%rax, 1)
	CHECK_PKRS(0)
	CHECK(ev_count, 0)
	movq	$nmi, ev_hook
	catch	call leave
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, left)
	CHECK(ev_count, 2)
	ret

leave:
	set_pkrs PKRS_GUEST
left:
	FAIL

nmi:
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, left)
	iretq

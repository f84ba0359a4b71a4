/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine check that is held when a system management interrupt arrives waits
 * for RSM, and is held behind it. After READY the harness waits for r15 to say
 * that the image spins, at PKRS = 0, and injects it then.
 */
#include "test.h"

#define APM_CONTROL	0xb2
#define MSR_SMI_COUNT	0x34
#define MSR_MCG_STATUS	0x17a
#define MCIP		2

	.globl	test_main
test_main:
	movl	$MSR_SMI_COUNT, %ecx
	rdmsr
	movl	%eax, %r12d
	cki_on
	movq	$ready, %rsi
	call	rt_puts
	movabsq	$0x5350494e4e494e47, %r15	/* SPINNING */
1:	pause
	movl	$MSR_MCG_STATUS, %ecx
	rdmsr
	testl	$(1 << MCIP), %eax
	jz	1b
	movl	$0x55, %eax
	outb	%al, $APM_CONTROL
	wait_a_while
	movl	$MSR_SMI_COUNT, %ecx
	rdmsr
	subl	%r12d, %eax
	CHECK_REG(%rax, 1)
	CHECK(ev_count, 0)
	catch	call leave
	CHECK(ev_vector, VEC_MC)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	ret

leave:
	set_pkrs PKRS_GUEST
left:
	FAIL

	.data
ready:	.asciz	"READY\n"

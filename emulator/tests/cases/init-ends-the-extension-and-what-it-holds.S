/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * INIT is not held: it reaches a processor that runs at PKRS = 0 and clears EN,
 * and what was held there is gone.  The harness gives this image a second
 * processor, which the first one starts twice.
 */
#include "test.h"

#define ICR		0x830
#define ICR_INIT	0x4500
#define ICR_STARTUP	0x4608	/* at 0x8000 */
#define TRAMPOLINE	0x8000
#define GDTR		0x8f00
#define SECOND		1	/* its APIC ID */

	/* Send what to the second processor; clobbers EAX, ECX, EDX. */
	.macro send what
	set_msr	ICR, \what, SECOND
	.endm

	/* Until the second processor says so. */
	.macro await state, line
	movl	$100000000, %ecx
.Lawait\@:
	pause
	cmpl	$\state, ap_state
	je	.Lsaid\@
	decl	%ecx
	jnz	.Lawait\@
	movl	$\line, %edi
	jmp	rt_fail
.Lsaid\@:
	.endm
#define AWAIT(state) await state, __LINE__

	.globl	test_main
test_main:
	movl	$trampoline, %esi
	movl	$TRAMPOLINE, %edi
	movl	$(trampoline_end - trampoline), %ecx
	rep movsb
	sgdt	GDTR
	send	ICR_INIT
	wait_a_while
	send	ICR_STARTUP
	AWAIT(1)
	wait_a_while
	send	ICR_INIT
	wait_a_while
	send	ICR_STARTUP
	AWAIT(2)
	CHECK(ap_ctl, 0)
	CHECK(ev_count, 0)
	ret

	.code16
trampoline:
	cli
	movl	$0x013506e0, %eax
	movl	%eax, %cr4
	movl	$rt_pml4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x901, %eax
	wrmsr
	movl	$0x80010033, %eax
	movl	%eax, %cr0
	lgdtl	GDTR
	ljmpl	$SEL_KCODE, $second
trampoline_end:

	.code64
second:
	movl	$SEL_KDATA, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	movq	$guest_stack_top, %rsp
	lidt	idtr
	movb	$0x89, rt_gdt + SEL_TSS2 + 5
	movl	$SEL_TSS2, %eax
	ltr	%ax
	movl	$0x1b, %ecx
	rdmsr
	orl	$0xc00, %eax
	wrmsr
	set_msr	0x80f, 0x1ff
	movl	$MSR_CKI_CTL, %ecx
	rdmsr
	movl	%eax, ap_ctl
	/* not cki_on, which is about the first processor */
	set_msr	MSR_CKI_CTL, CKI_CTL_EN
	cmpl	$0, ap_state
	jne	1f
	send	VEC_IRQ
	send	SEND_NMI
	sti
	movl	$1, ap_state
2:	pause
	jmp	2b
	/* nothing is left that could arrive now */
1:	sti
	set_pkrs PKRS_GUEST
	wait_a_while
	movl	$2, ap_state
	jmp	2b

	.data
idtr:	.word	256 * 16 - 1
	.quad	rt_idt
	.balign	8
ap_ctl:	.quad	0
ap_state: .long	0

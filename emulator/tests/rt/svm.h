/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest of SVM that shares everything with the test but RAX, RSP, RIP and
 * RFLAGS: `svm_prepare`, then `enter`, as often as it takes.
 */
#ifndef CKI_TESTS_SVM_H
#define CKI_TESTS_SVM_H

#include "test.h"

/* Offsets in the VMCB; those with CKI are docs/reference/isa.md's. */
#define VMCB_EXCEPTIONS		0x008
#define VMCB_INTERCEPT		0x00c	/* 64 bits; bit 0 is exit code 60H */
#define VMCB_ASID		0x058
#define VMCB_V_INTR		0x060	/* bit 8: V_IRQ */
#define VMCB_V_VECTOR		0x064
#define VMCB_EXITCODE		0x070
#define VMCB_EXITINTINFO	0x088
#define VMCB_EVENTINJ		0x0a8
#define VMCB_CKI_CTL		0x3c0
#define VMCB_CKI_HELD		0x3c8
#define VMCB_ES			0x400
#define VMCB_CS			0x410
#define VMCB_SS			0x420
#define VMCB_DS			0x430
#define VMCB_GDTR		0x460
#define VMCB_IDTR		0x480
#define VMCB_EFER		0x4d0
#define VMCB_CR4		0x548
#define VMCB_CR3		0x550
#define VMCB_CR0		0x558
#define VMCB_DR7		0x560
#define VMCB_DR6		0x568
#define VMCB_RFLAGS		0x570
#define VMCB_RIP		0x578
#define VMCB_RSP		0x5d8
#define VMCB_GUEST_CKI_CTL	0x648
#define VMCB_GUEST_PKRS		0x650

#define CKI_ENABLE		1	/* VMCB_CKI_CTL */
#define V_IRQ			0x100
#define V_INTR_PRIO(priority)	((priority) << 16)
#define V_TPR(priority)		(priority)

#define EXIT_MC			0x52
#define EXIT_PF			0x4e
#define EXIT_INTR		0x60
#define EXIT_NMI		0x61
#define EXIT_VINTR		0x64
#define EXIT_CPUID		0x72
#define EXIT_VMMCALL		0x81
#define EXIT_INVALID		0xffffffff	/* QEMU writes 32 bits of -1 */

#define INTERCEPT(code)		(1 << ((code) - 0x60))

/* EVENTINJ and EXITINTINFO */
#define EVENT_VALID		0x80000000
#define EVENT_INTR		0x80000000
#define EVENT_NMI		0x80000202
#define EVENT_EXCEPTION		0x80000300

	.macro vmcb field, value
	movabsq	$\value, %rax
	movq	%rax, svm_vmcb + \field
	.endm

	.macro vmcb32 field, value
	movl	$\value, svm_vmcb + \field
	.endm

	/* A guest that has the extension on, with this PKRS and IF set. */
	.macro svm_prepare rip, pkrs
	call	svm_fill
	vmcb	VMCB_RIP, \rip
	vmcb	VMCB_CKI_CTL, CKI_ENABLE
	vmcb	VMCB_GUEST_CKI_CTL, CKI_CTL_EN
	vmcb	VMCB_GUEST_PKRS, \pkrs
	.endm

	/*
	 * Enter the guest until it exits.  Of the registers only RAX is switched;
	 * GIF is 1 before and after.  Handlers in the guest read PKRS.
	 */
	.macro enter
	movl	$1, rt_cki
	movl	$svm_vmcb, %eax
	vmrun
	movl	$0, rt_cki
	stgi
	.endm

	/* The guest left with this exit code, and the host is back with EN = 0 and PKRS = 0. */
	.macro check_exit code, line
	check_equal svm_vmcb + VMCB_EXITCODE, \code, \line
	movl	$MSR_CKI_CTL, %ecx
	rdmsr
	check_reg %rax, 0, \line
	movl	$MSR_PKRS, %ecx
	rdmsr
	check_reg %rax, 0, \line
	.endm

#define CHECK_EXIT(code)	check_exit code, __LINE__
#define CHECK_VMCB(field, value) check_equal svm_vmcb + field, value, __LINE__
	/* RAX, RBX */
#define CHECK_VMCB32(field, value) \
	check_masked svm_vmcb + field, 0xffffffff, value, __LINE__

	.text
	/* Host and guest state, no extension, intercepts VMRUN, VMMCALL and CPUID. */
svm_fill:
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x1000, %eax		/* SVME */
	wrmsr
	movl	%eax, %ebx
	set_msr	0xc0010117, svm_hsave	/* VM_HSAVE_PA */
	movl	$svm_vmcb, %edi
	movl	$512, %ecx
	xorl	%eax, %eax
	rep stosq
	movl	%ebx, svm_vmcb + VMCB_EFER
	movabsq	$(0x300000000 | INTERCEPT(EXIT_CPUID)), %rax
	movq	%rax, svm_vmcb + VMCB_INTERCEPT
	movl	$1, svm_vmcb + VMCB_ASID
	.irp	seg, VMCB_ES, VMCB_SS, VMCB_DS
	movl	$(0xc93 << 16 | SEL_KDATA), svm_vmcb + \seg
	movl	$-1, svm_vmcb + \seg + 4
	.endr
	movl	$(0xa9b << 16 | SEL_KCODE), svm_vmcb + VMCB_CS
	movl	$-1, svm_vmcb + VMCB_CS + 4
	sgdt	svm_table
	movzwl	svm_table, %eax
	movl	%eax, svm_vmcb + VMCB_GDTR + 4
	movq	svm_table + 2, %rax
	movq	%rax, svm_vmcb + VMCB_GDTR + 8
	sidt	svm_table
	movzwl	svm_table, %eax
	movl	%eax, svm_vmcb + VMCB_IDTR + 4
	movq	svm_table + 2, %rax
	movq	%rax, svm_vmcb + VMCB_IDTR + 8
	movq	%cr0, %rax
	movq	%rax, svm_vmcb + VMCB_CR0
	movq	%cr3, %rax
	movq	%rax, svm_vmcb + VMCB_CR3
	movq	%cr4, %rax
	movq	%rax, svm_vmcb + VMCB_CR4
	movl	$0x400, svm_vmcb + VMCB_DR7
	movl	$0xffff0ff0, svm_vmcb + VMCB_DR6
	movl	$(2 | RFLAGS_IF), svm_vmcb + VMCB_RFLAGS
	movl	$guest_stack_top, svm_vmcb + VMCB_RSP
	ret

	.data
	.balign	8
svm_table:	.fill	16, 1, 0
	.bss
	.balign	4096
svm_vmcb:	.fill	4096, 1, 0
svm_hsave:	.fill	4096, 1, 0
	.text

#endif

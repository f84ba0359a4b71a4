/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Known numbers of what -device cki-events counts, each between two marks;
 * tests/tests/isa/counted.rs has the numbers.
 */
#include "svm.h"

#define CR4_PGE		(1 << 7)
#define VMCB_TLB_CONTROL 0x05c

	/* A NOP on any processor, and a mark where the device is. */
	.macro mark number
	.byte	0x0f, 0x1f, 0x84, 0x00
	.long	CKI_MARK + \number
	.endm

	.globl	test_main
test_main:
	mark	0
	mark	1

	movl	$50, %ecx
1:	decl	%ecx
	jnz	1b
	mark	2

	movq	%cr3, %rax
	movq	%rax, %cr3
	movq	%rax, %cr3
	movq	%rax, %cr3
	mark	3

	.rept	5
	invlpg	test_page
	.endr
	mark	4

	/* The same value again flushes nothing. */
	movq	%cr4, %rax
	movq	%rax, %cr4
	xorq	$CR4_PGE, %rax
	movq	%rax, %cr4
	xorq	$CR4_PGE, %rax
	movq	%rax, %cr4
	mark	5

	set_msr	MSR_PKRS, PKRS_GUEST
	movl	$MSR_PKRS, %ecx
	rdmsr
	set_msr	MSR_PKRS, 0
	/* Refused: an event, and no write. */
	movl	$1, %edx
	catch	wrmsr
	CHECK(ev_vector, VEC_GP)
	mark	6

	cki_on
	movl	$10, %ecx
1:	set_pkrs PKRS_GUEST
	set_pkrs PKRS_OTHER
	set_pkrs 0
	decl	%ecx
	jnz	1b
	set_pkrs 0
	cki_off
	mark	7

	/* Through a privileged gate, for a load of CR3 that is refused. */
	cki_on
	gate	VEC_GP, (GATE_PRIV | 1)
	guest	refused, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	cki_off
	mark	8

	/* To user mode, which marks as well, by SYSCALL from there, and back. */
	cki_on
	user	calls, PKRS_GUEST
	CHECK(ev_vector, 0x100)
	movq	$returned, %rcx
	movl	$0x202, %r11d
	catch	sysretq
	CHECK(ev_vector, VEC_USER)
	set_pkrs 0
	cki_off
	mark	10

	/* To a guest five times; it marks before the last exit. */
	call	svm_fill
	movl	$4, %ebp
1:	vmcb	VMCB_RIP, exits
	enter
	decl	%ebp
	jnz	1b
	CHECK_VMCB(VMCB_EXITCODE, EXIT_VMMCALL)
	vmcb32	VMCB_TLB_CONTROL, 1
	vmcb	VMCB_RIP, marks
	enter
	CHECK_VMCB(VMCB_EXITCODE, EXIT_CPUID)
	mark	12
	ret

refused:
	movq	%rax, %cr3
	FAIL

exits:
	vmmcall
	FAIL
marks:
	mark	11
	cpuid
	FAIL

	user_section
calls:
	mark	9
	syscall
returned:
	int	$VEC_USER
1:	jmp	1b

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a test file is written with.  A test defines test_main; it starts in
 * 64-bit mode at CPL 0 with PKRS = 0, the extension off and IF = 0, and passes
 * by returning.
 */
#ifndef CKI_TESTS_TEST_H
#define CKI_TESTS_TEST_H

#include "cki.h"

	.macro wrpkrs
	.byte	CKI_WRPKRS_BYTE0, CKI_WRPKRS_BYTE1, CKI_WRPKRS_BYTE2, CKI_WRPKRS_BYTE3
	.endm

	.macro rdpkrs
	.byte	CKI_WRPKRS_BYTE0, CKI_WRPKRS_BYTE1, CKI_WRPKRS_BYTE2, CKI_RDPKRS_BYTE3
	.endm

	/* Clobbers EAX. */
	.macro set_pkrs value
	movl	$\value, %eax
	wrpkrs
	.endm

	/* Clobber EAX, ECX, EDX. */
	.macro set_msr msr, low, high=0
	movl	$\msr, %ecx
	movl	$\low, %eax
	movl	$\high, %edx
	wrmsr
	.endm

	.macro cki_on
	call	rt_cki_on
	.endm

	.macro cki_off
	call	rt_cki_off
	.endm

	/*
	 * Run one instruction (or a few) and go on behind it whatever happens.
	 * ev_vector says what did: NO_EVENT, or the vector of the first event;
	 * the other ev_* variables describe it.  All registers but RSP, RFLAGS
	 * and PKRS are as the event found them.
	 */
	.macro catch insn:vararg
	movq	$NO_EVENT, ev_vector
	movq	%rsp, try_rsp
	movq	$.Ltry\@, try_insn
	movq	$.Lend\@, try_rip
.Ltry\@:
	\insn
.Lend\@:
	movq	$0, try_rip
	.endm

	/* Clobbers nothing but RFLAGS. */
	.macro check_equal where, value, line
	pushq	%rax
	movabsq	$\value, %rax
	cmpq	%rax, \where
	popq	%rax
	je	.Lok\@
	movl	$\line, %edi
	jmp	rt_fail
.Lok\@:
	.endm

	/* The same for a register. */
	.macro check_reg reg, value, line
	pushq	%rbx
	pushq	\reg
	movabsq	$\value, %rbx
	cmpq	%rbx, (%rsp)
	leaq	8(%rsp), %rsp
	popq	%rbx
	je	.Lok\@
	movl	$\line, %edi
	jmp	rt_fail
.Lok\@:
	.endm

	/* PKRS, by RDPKRS; clobbers RAX. */
	.macro check_pkrs value, line
	rdpkrs
	check_reg %rax, \value, \line
	.endm

	/* bits & mask == value; clobbers RAX, RBX. */
	.macro check_masked where, mask, value, line
	movq	\where, %rax
	movabsq	$\mask, %rbx
	andq	%rbx, %rax
	check_reg %rax, \value, \line
	.endm

	/* The caught instruction was refused as deprivileged mode refuses. */
	.macro check_refused line
	check_equal ev_vector, VEC_GP, \line
	check_equal ev_error, 0, \line
	check_equal ev_pkrs, PKRS_GUEST, \line
	pushq	%rax
	movq	try_insn, %rax
	cmpq	%rax, ev_rip
	popq	%rax
	je	.Lsame\@
	movl	$\line, %edi
	jmp	rt_fail
.Lsame\@:
	.endm

#define CHECK(where, value)		check_equal where, value, __LINE__
#define CHECK_REG(reg, value)		check_reg reg, value, __LINE__
#define CHECK_MASKED(where, mask, value) check_masked where, mask, value, __LINE__
#define CHECK_PKRS(value)		check_pkrs value, __LINE__
#define CHECK_REFUSED			check_refused __LINE__
#define FAIL				movl $__LINE__, %edi; jmp rt_fail

	/*
	 * The whole rule for one instruction of the list: it does `normal` (an
	 * event, or NO_EVENT) at PKRS = 0 with the extension on, the same with
	 * PKRS != 0 and the extension off, and is refused with both.
	 */
	.macro privileged line, normal, insn:vararg
	cki_on
	call	before_each
	catch	\insn
	check_equal ev_vector, \normal, \line
	set_pkrs PKRS_GUEST
	call	before_each
	catch	\insn
	check_refused \line
	set_pkrs 0
	cki_off
	set_msr	MSR_PKRS, KEY_AD(4)
	call	before_each
	catch	\insn
	check_equal ev_vector, \normal, \line
	set_msr	MSR_PKRS, 0
	.endm

#define PRIVILEGED(normal, ...)		privileged __LINE__, normal, __VA_ARGS__

	/* Allowed in deprivileged mode as at PKRS = 0. */
	.macro allowed line, insn:vararg
	cki_on
	call	before_each
	catch	\insn
	check_equal ev_vector, NO_EVENT, \line
	set_pkrs PKRS_GUEST
	call	before_each
	catch	\insn
	check_equal ev_vector, NO_EVENT, \line
	check_pkrs PKRS_GUEST, \line
	set_pkrs 0
	cki_off
	.endm

#define ALLOWED(...)			allowed __LINE__, __VA_ARGS__

	/* gate vector, flags: IST number, | GATE_PRIV; clobbers RAX, RDX */
	.macro gate vector, flags
	movl	$\flags, %edx
	movl	$\vector, %eax
	call	rt_gate
	.endm

	/*
	 * Build an IRETQ frame and take it: needs PKRS = 0.  `pkrs` goes into the
	 * upper half of the CS slot.
	 */
	.macro iretq_to rip, cs, rflags, rsp, ss, pkrs
	pushq	$\ss
	pushq	\rsp
	pushq	$\rflags
	movabsq	$((\pkrs << 32) | \cs), %rax
	pushq	%rax
	pushq	$\rip
	iretq
	.endm

	/* Run user code with IF set until the next event; needs PKRS = 0. */
	.macro user rip, pkrs, rflags=0x202
	catch	iretq_to \rip, SEL_UCODE3, \rflags, $user_stack_top, SEL_UDATA3, \pkrs
	.endm

	/* Run kernel code in deprivileged mode with IF set; needs PKRS = 0. */
	.macro guest rip, pkrs, rflags=0x202
	catch	iretq_to \rip, SEL_KCODE, \rflags, $guest_stack_top, SEL_KDATA, \pkrs
	.endm

	/* Make an event pending for this processor: a vector, or SEND_NMI. Clobbers EAX. */
	.macro raise what
	movl	$\what, %eax
	call	rt_self
	.endm

	/* Long enough for anything that is pending to arrive; clobbers ECX. */
	.macro wait_a_while
	movl	$1000, %ecx
.Lwait\@:
	pause
	loop	.Lwait\@
	.endm

	.macro user_section
	.section .user, "ax", @progbits
	.endm

#endif

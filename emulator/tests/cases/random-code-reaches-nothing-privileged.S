/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tens of thousands of random byte sequences run in deprivileged mode and in
 * user mode, as 64-bit and 32-bit code, with every exception privileged.  Whatever they do, the event that ends them finds
 * the PKRS, IF and IOPL that they started with, and no control register, MSR,
 * descriptor table or page table changed.
 */
#include "closed.h"

#define ROUNDS		20000
#define CODE		0x300000	/* one page: key 2, its neighbours unmapped */
#define START		(CODE + 0x800)
#define USER_CODE	0x310000	/* the same page for user mode */
#define TIMER_LVT	0x832
#define TIMER_COUNT	0x838
#define TIMER_DIVIDE	0x83e

	.globl	test_main
test_main:
	close_all_but CODE
	gate	VEC_USER, (GATE_PRIV | 1)
	movl	$(USER_CODE >> 12), %ebx
	movq	$0, rt_pt - 8(, %rbx, 8)
	movq	$0, rt_pt + 8(, %rbx, 8)
	movq	$(CODE | 0x65), rt_pt(, %rbx, 8)
	movq	%cr3, %rax
	movq	%rax, %cr3

	/* the rest of the page is UD2 */
	movl	$CODE, %edi
	movl	$0x0b0f0b0f, %eax
	movl	$1024, %ecx
	rep stosl

	set_msr	TIMER_DIVIDE, 0xb
	set_msr	TIMER_LVT, VEC_IRQ
	cki_on
	movl	$before, %edi
	call	snapshot

next_round:
	call	make_code
	set_msr	TIMER_COUNT, 1000000
	/* frame and pointers of one of the four kinds of code */
	movl	rounds, %eax
	andl	$3, %eax
	imull	$kind_size, %eax, %eax
	leaq	kinds(%rax), %rax
	movq	40(%rax), %rbx
	leaq	64(%rbx), %rsi
	leaq	2048(%rbx), %rdi
	leaq	1024(%rbx), %rbp
	movl	$3, %ecx
	movl	$7, %edx
	movq	random, %r8
	movl	$SEL_KCODE, %r9d
	movq	0(%rax), %r10
	movl	$2, %r11d
	movl	$SEL_KCODE32, %r12d
	movl	$SEL_UDATA3, %r13d
	movq	%rbx, %r14
	xorl	%r15d, %r15d
	catch	jmp enter

	/* what the code left in the flags is not ours */
	pushq	$2
	popfq
	movl	ev_vector, %eax
	cmpl	$0x100, %eax
	jae	4f
	incl	seen(, %rax, 4)
4:	cmpl	$VEC_IRQ, %eax
	jne	5f
	call	rt_eoi
5:	set_msr	TIMER_COUNT, 0
	movq	ev_vector, %rbx
	cmpq	$VEC_DF, %rbx
	jne	6f
	FAIL
	/* what ran, for the report */
6:	movq	START, %rax
	movq	%rax, ev_cr2
	CHECK(ev_pkrs, 0)
	CHECK_MASKED(ev_cs, 0xffffffff00000000, 0xffffffec00000000)
	CHECK_MASKED(ev_rflags, (RFLAGS_IF|RFLAGS_IOPL|RFLAGS_VM), RFLAGS_IF)
	movl	$after, %edi
	call	snapshot
	movl	$before, %esi
	movl	$after, %edi
	movl	$((before_end - before) / 8), %ecx
	repe cmpsq
	je	7f
	FAIL
7:	decl	rounds
	jnz	next_round

	/* it did try things */
	cmpl	$500, seen + 4 * VEC_GP
	ja	8f
	FAIL
8:	cmpl	$500, seen + 4 * VEC_PF
	ja	9f
	FAIL
9:	cmpl	$500, seen + 4 * VEC_UD
	ja	10f
	FAIL
10:	ret

enter:
	pushq	32(%rax)
	pushq	24(%rax)
	pushq	16(%rax)
	pushq	8(%rax)
	pushq	0(%rax)
	iretq

	/* xorshift: rax := the next number */
rand:
	movq	random, %rax
	movq	%rax, %rdx
	shlq	$13, %rdx
	xorq	%rdx, %rax
	movq	%rax, %rdx
	shrq	$7, %rdx
	xorq	%rdx, %rax
	movq	%rax, %rdx
	shlq	$17, %rdx
	xorq	%rdx, %rax
	movq	%rax, random
	ret

	/* 16 random bytes, three of four with an opcode prefix or escape in front */
make_code:
	call	rand
	movq	%rax, START
	call	rand
	movq	%rax, START + 8
	call	rand
	movl	%eax, %ecx
	shrl	$8, %ecx
	andl	$7, %ecx
	movb	prefixes(%rcx), %cl
	andl	$3, %eax
	jz	2f
	cmpl	$2, %eax
	ja	3f
	jb	1f
	movb	%cl, START
	movb	$0x0f, START + 1
	jmp	3f
1:	movb	$0x0f, START
	jmp	3f
2:	movb	%cl, START
	/* WRPKRS would be a gate */
3:	xorl	%ecx, %ecx
4:	cmpl	$0xda6b380f, START(%rcx)
	je	make_code
	incl	%ecx
	cmpl	$13, %ecx
	jb	4b
	ret

	/* Everything privileged, to edi.  The tables as sums. */
snapshot:
	cld
	.irp	reg, cr0, cr3, cr4, cr8, dr0, dr1, dr2, dr3, dr7
	movq	%\reg, %rax
	stosq
	.endr
	.irp	msr, 0x1b, 0x174, 0x175, 0x176, 0x1a0, 0x277, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000103, MSR_CKI_CTL, MSR_PKRS, TIMER_LVT
	movl	$\msr, %ecx
	rdmsr
	stosl
	movl	%edx, %eax
	stosl
	.endr
	xorl	%ecx, %ecx
	xgetbv
	stosl
	movl	%edx, %eax
	stosl
	sidt	(%rdi)
	movw	$0, 10(%rdi)
	movl	$0, 12(%rdi)
	addq	$16, %rdi
	sgdt	(%rdi)
	movw	$0, 10(%rdi)
	movl	$0, 12(%rdi)
	addq	$16, %rdi
	xorl	%eax, %eax
	strw	%ax
	stosq
	xorl	%eax, %eax
	sldtw	%ax
	stosq
	xorl	%eax, %eax
	movl	$rt_pml4, %esi
1:	addq	(%rsi), %rax
	rolq	$1, %rax
	addq	$8, %rsi
	cmpq	$rt_pt + 8192, %rsi
	jb	1b
	stosq
	xorl	%eax, %eax
	movl	$rt_idt, %esi
2:	addq	(%rsi), %rax
	rolq	$1, %rax
	addq	$8, %rsi
	cmpq	$key2_word, %rsi
	jb	2b
	stosq
	ret

	.data
	.balign	8
random:	.quad	0x9e3779b97f4a7c15
rounds:	.long	ROUNDS
prefixes:	.byte	0x66, 0xf2, 0xf3, 0xf0, 0x48, 0x67, 0x2e, 0x41
	.balign	8
	/* RIP, CS and PKRS, RFLAGS, RSP, SS, memory */
kinds:
	.quad	START, PKRS_GUEST << 32 | SEL_KCODE, 0x202, guest_stack_top - 512, SEL_KDATA, test_page
	.set	kind_size, . - kinds
	.quad	START, PKRS_GUEST << 32 | SEL_KCODE32, 0x202, guest_stack_top - 512, SEL_KDATA, test_page
	.quad	USER_CODE + 0x800, PKRS_GUEST << 32 | SEL_UCODE3, 0x202, user_stack_top - 512, SEL_UDATA3, user_stack
	.quad	USER_CODE + 0x800, PKRS_GUEST << 32 | SEL_UCODE32 + 3, 0x202, user_stack_top - 512, SEL_UDATA3, user_stack
before:	.fill	40, 8, 0
before_end:
after:	.fill	40, 8, 0
seen:	.fill	256, 4, 0

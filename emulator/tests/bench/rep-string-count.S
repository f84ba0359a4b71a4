/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many instructions repeated string instructions count as with -icount
 * shift=0, where the TSC is the count.  Prints, for each, the difference of two
 * RDTSC around it; "nothing" is that difference with nothing in between.
 */
#include "test.h"

#define BUFFER		0x400000	/* behind what rt/ maps; made present below */
#define OTHER		0x480000

	/* Clobbers all but RBP. */
	.macro count name, insn:vararg
	call	start
	\insn
	call	stop
	movq	$.Lname\@, %rsi
	call	report
	.data
.Lname\@:	.asciz	"\name"
	.text
	.endm

	/* What the instruction finds in RCX, RSI and RDI. */
	.macro operands rcx
	movq	$\rcx, %rcx
	movl	$BUFFER, %esi
	movl	$OTHER, %edi
	.endm

	.macro scan_for_0
	xorl	%eax, %eax
	repe scasb
	.endm

	.macro read_port
	movl	$0x92, %edx
	rep insb
	.endm

	.globl	test_main, without_cki
test_main:
without_cki:
	/* 2 MiB at 4 MiB as one page. */
	movq	$(BUFFER + 0xe3), rt_pd + 16
	movq	%cr3, %rax
	movq	%rax, %cr3

	/* Translated and looked up once, so that nothing else is first. */
	movl	$2, %ebp
again:
	operands 0
	count	nothing
	operands 4096
	count	stosb, rep stosb
	operands 512
	count	movsq, rep movsq
	operands 4096
	count	lodsb, rep lodsb
	/* Both areas are equal now. */
	movl	$OTHER, %edi
	movl	$4096, %ecx
	xorl	%eax, %eax
	rep stosb
	movl	$BUFFER, %edi
	movl	$4096, %ecx
	rep stosb
	operands 4096
	count	cmpsb, repe cmpsb
	operands 4096
	count	scasb, scan_for_0
	operands 200000
	count	long, rep stosb
	operands 0
	count	none, rep stosb

	/* Stored to the end of the mapping; the fault takes the instruction back. */
	movq	$4096, %rcx
	movq	$0x600000, %rdi
	count	faulting_at_once, catch rep stosb
	movq	$4096, %rcx
	movq	$0x5ffc00, %rdi
	count	faulting_late, catch rep stosb

	operands 16
	count	insb, read_port
	decl	%ebp
	jnz	again
	ret

	/* r12 := TSC. Clobbers RAX, RDX. */
start:
	rdtsc
	shlq	$32, %rdx
	orq	%rdx, %rax
	movq	%rax, %r12
	ret

	/* r13 := TSC - r12 */
stop:
	rdtsc
	shlq	$32, %rdx
	orq	%rdx, %rax
	subq	%r12, %rax
	movq	%rax, %r13
	ret

	/* Print "NAME: 0x..." the second time. */
report:
	cmpl	$1, %ebp
	jne	1f
	call	rt_puts
	movq	$colon, %rsi
	call	rt_puts
	movq	%r13, %rax
	call	rt_puthex
	movq	$newline, %rsi
	call	rt_puts
1:	ret

	.data
colon:		.asciz	": 0x"
newline:	.asciz	"\n"

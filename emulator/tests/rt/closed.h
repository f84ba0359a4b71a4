/* SPDX-License-Identifier: GPL-2.0-only */
/* A machine for code that is not known: what it may reach is little, and all that happens is the monitor's. */
#ifndef CLOSED_H
#define CLOSED_H

#include "test.h"

/*
 * All exceptions are the monitor's; all memory is of key 1, but for a stack, two pages of data and, with key 2
 * and between unmapped neighbours, the page at \code. A load of CR3 is to follow.
 */
	.macro	close_all_but code
	xorl	%ebx, %ebx
1:	movl	%ebx, %eax
	movl	$(GATE_PRIV | 1), %edx
	call	rt_gate
	incl	%ebx
	cmpl	$0x20, %ebx
	jb	1b

	xorl	%ebx, %ebx
	movabsq	$PTE_KEY(1), %rdx
	movabsq	$PTE_KEY(15), %rcx
2:	testq	%rcx, rt_pt(, %rbx, 8)
	jnz	3f
	orq	%rdx, rt_pt(, %rbx, 8)
3:	incl	%ebx
	cmpl	$1024, %ebx
	jb	2b
	notq	%rcx
	.irp	page, guest_stack_top-4096, test_page, test_page2
	movl	$\page, %ebx
	shrl	$12, %ebx
	andq	%rcx, rt_pt(, %rbx, 8)
	.endr
	movl	$(\code >> 12), %ebx
	movq	$0, rt_pt - 8(, %rbx, 8)
	movq	$0, rt_pt + 8(, %rbx, 8)
	andq	%rcx, rt_pt(, %rbx, 8)
	movabsq	$PTE_KEY(2), %rdx
	orq	%rdx, rt_pt(, %rbx, 8)
	.endm

#endif

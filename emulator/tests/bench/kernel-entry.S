/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a machine executes before it enters a kernel, its firmware: the TSC with
 * -icount shift=0.  The runtime's own part, some thousand instructions, is in it.
 */
#include "test.h"

	.globl	test_main, without_cki
test_main:
without_cki:
	rdtsc
	shlq	$32, %rdx
	orq	%rdx, %rax
	movq	%rax, %r12
	movq	$text, %rsi
	call	rt_puts
	movq	%r12, %rax
	call	rt_puthex
	movq	$newline, %rsi
	call	rt_puts
	ret

	.data
text:		.asciz	"instructions before the kernel: 0x"
newline:	.asciz	"\n"

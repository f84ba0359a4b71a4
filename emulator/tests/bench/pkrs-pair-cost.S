/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The cost of entering and leaving a monitor: PKRS := 0, four pages of monitor
 * memory, PKRS := a container's value, four pages of container memory.  Prints
 * the time of a thousand such pairs in TSC ticks, by WRMSR on any processor
 * and by WRPKRS where there is CKI.
 */
#include "test.h"

#define WRMSR_PAIRS	20000
#define WRPKRS_PAIRS	1000000

	.macro touch_monitor
	movq	key1_word, %rbx
	movq	key1_word - 4096, %rbx
	movq	key1_word - 8192, %rbx
	movq	key1_word + 2048, %rbx
	.endm

	.macro touch_container
	movq	test_page, %rbx
	movq	test_page2, %rbx
	movq	key2_word, %rbx
	movq	pairs, %rbx
	.endm

	/* Print name and (TSC - r12) * 1000 / count. */
	.macro report name, count
	rdtsc
	shlq	$32, %rdx
	orq	%rdx, %rax
	subq	%r12, %rax
	imulq	$1000, %rax, %rax
	xorl	%edx, %edx
	movl	$\count, %ecx
	divq	%rcx
	movq	%rax, %r13
	movq	$\name, %rsi
	call	rt_puts
	movq	%r13, %rax
	call	rt_puthex
	movq	$newline, %rsi
	call	rt_puts
	.endm

	.macro start
	rdtsc
	shlq	$32, %rdx
	orq	%rdx, %rax
	movq	%rax, %r12
	.endm

	.globl	test_main
test_main:
	call	by_wrmsr
	cki_on
	start
	movl	$WRPKRS_PAIRS, %ebp
1:	xorl	%eax, %eax
	wrpkrs
	touch_monitor
	movl	$PKRS_GUEST, %eax
	wrpkrs
	touch_container
	decl	%ebp
	jnz	1b
	set_pkrs 0
	report	wrpkrs_text, WRPKRS_PAIRS
	ret

	.globl	without_cki
without_cki:
by_wrmsr:
	start
	movl	$WRMSR_PAIRS, %ebp
	movl	$MSR_PKRS, %ecx
	xorl	%edx, %edx
1:	xorl	%eax, %eax
	wrmsr
	touch_monitor
	movl	$PKRS_GUEST, %eax
	wrmsr
	touch_container
	decl	%ebp
	jnz	1b
	xorl	%eax, %eax
	wrmsr
	report	wrmsr_text, WRMSR_PAIRS
	ret

	.data
wrmsr_text:	.asciz	"ticks of 1000 wrmsr pairs: 0x"
wrpkrs_text:	.asciz	"ticks of 1000 wrpkrs pairs: 0x"
newline:	.asciz	"\n"
	.balign	8
pairs:	.quad	0

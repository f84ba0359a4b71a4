/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A walk over the opcode map: each map, mandatory prefix, REX and, where it
 * matters, ModRM byte runs in deprivileged mode.  What rt/allow-list.h does not
 * name is refused and changes nothing.  What it names is not refused, unless
 * the same bytes raise the same #GP(0) at PKRS = 0 because of their operands.
 *
 * With WALK_COMPAT the code runs in compatibility mode.
 */
#include "closed.h"

#define CODE		0x300000	/* one page of INT3: key 2, its neighbours unmapped */
#define START		(CODE + 0x800)
#define STACK		(guest_stack_top - 512)
#define BUFFER		(test_page + 0x800)
#define RETURN		(CODE + SEL_UCODE3)	/* as an address INT3, as a selector user code */

#define MAP_ROOT	0
#define MAP_0F		1
#define MAP_0F38	2
#define MAP_0F3A	3
#define MAP_V0F		4
#define MAP_V38		5
#define MAP_V3A		6
#define MAP_VNONE	7		/* VEX maps that no line is for */
#define MOD_ALL		0
#define MOD_MEM		1
#define MOD_REG		2
#define WHEN_ANY	0
#define WHEN_L		1
#define WHEN_C		2
#define WHEN_W		3
#define WHEN_R0		4

#define NP		1
#define P66		2
#define PF3		4
#define PF2		8
#define PALL		15

/* Fields of a line of the list. */
#define LINE_FIRST	1
#define LINE_MOD	3
#define LINE_REG	4
#define LINE_RM		5
#define LINE_PREFIXES	6
#define LINE_WHEN	7
#define LINE_SIZE	8

	.globl	test_main
test_main:
	close_all_but CODE
	movq	%cr3, %rax
	movq	%rax, %cr3

	/* wherever a jump leads there is INT3, or nothing */
	movq	$0xcccccccccccccccc, %rax
	movl	$CODE, %edi
	movl	$512, %ecx
	rep stosq
	movl	$test_page, %edi
	movl	$1024, %ecx
	rep stosq
	movl	$RETURN, %eax
	movl	$(guest_stack_top - 4096), %edi
	movl	$512, %ecx
	rep stosq

	/* the first line of each opcode, counted from 1 */
	movl	$((lines_end - lines) / LINE_SIZE), %ecx
4:	leaq	lines - LINE_SIZE(, %rcx, 8), %rsi
	movzbl	0(%rsi), %edx
	shll	$8, %edx
	movzbl	LINE_FIRST(%rsi), %eax
5:	leal	(%rax, %rdx), %ebx
	movw	%cx, first_line(, %rbx, 2)
	cmpb	2(%rsi), %al
	leal	1(%rax), %eax
	jb	5b
	loop	4b

	cki_on
	.irp	prefix, 0, 0x66, 0xf3, 0xf2, 0xf0
	movb	$\prefix, w_prefix
#ifdef WALK_COMPAT
	.irp	rex, 0
#else
	.irp	rex, 0, 0x48, 0x44
#endif
	movb	$\rex, w_rex
	.irp	map, MAP_ROOT, MAP_0F, MAP_0F38, MAP_0F3A
	movb	$\map, w_map
	call	walk_map
	.endr
	.endr
	.endr

	/* VEX: W in bit 7, L in bit 2, pp */
	movb	$0, w_rex
	movb	$0, w_prefix
	.irp	wlpp, 0, 1, 2, 3, 4, 5, 6, 7, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87
	movb	$(0x78 | \wlpp), w_vex
	.irp	map, 1, 2, 3
	movb	$(MAP_V0F - 1 + \map), w_map
	movb	$\map, w_mmmmm
	call	walk_map
	.endr
	.endr
	movb	$MAP_VNONE, w_map
	.irp	pp, 0, 1, 2, 3
	movb	$(0x78 | \pp), w_vex
	movb	$31, w_mmmmm
6:	call	walk_map
	decb	w_mmmmm
	cmpb	$3, w_mmmmm
	ja	6b
	movb	$0, w_mmmmm
	call	walk_map
	.endr
	/* no prefix goes with VEX */
	.irp	prefix, 0x66, 0xf3, 0xf2, 0xf0
	movb	$\prefix, w_prefix
	movb	$1, w_mmmmm
	call	walk_map
	.endr
#ifndef WALK_COMPAT
	movb	$0, w_prefix
	movb	$0x48, w_rex
	call	walk_map
#endif

	/* it did walk */
	cmpl	$LEAST_REFUSED, refused
	ja	7f
	FAIL
7:	cmpl	$LEAST_ALLOWED, allowed
	ja	8f
	FAIL
8:	ret

	/* All opcodes of w_map. */
walk_map:
	movb	$0, w_op
1:	movzbl	w_op, %ebx
	movzbl	w_map, %eax
	testl	%eax, %eax
	jnz	2f
	btl	%ebx, not_opcodes
	jc	8f
2:	cmpl	$MAP_0F, %eax
	jne	3f
	cmpl	$0x38, %ebx
	je	8f
	cmpl	$0x3a, %ebx
	je	8f
3:	/* all ModRM bytes, if a line for this opcode looks at them */
	movl	%eax, %ecx
	shll	$8, %ecx
	addl	%ebx, %ecx
	movzwl	first_line(, %rcx, 2), %ecx
	movl	%ecx, w_line
	testl	%ecx, %ecx
	jz	5f
	leaq	lines - LINE_SIZE(, %rcx, 8), %rsi
10:	cmpb	$MOD_ALL, LINE_MOD(%rsi)
	jne	4f
	cmpb	$0xff, LINE_REG(%rsi)
	jne	4f
	addq	$LINE_SIZE, %rsi
	cmpb	%al, 0(%rsi)
	jne	5f
	cmpb	%bl, LINE_FIRST(%rsi)
	jbe	10b
	jmp	5f
4:	movb	$0, w_modrm
9:	call	walk_one
	incb	w_modrm
	jnz	9b
	jmp	8f
5:	.irp	modrm, 0x00, 0x44, 0xc0, 0xd2, 0xff
	movb	$\modrm, w_modrm
	call	walk_one
	.endr
8:	incb	w_op
	jnz	1b
	ret

	/* One encoding. */
walk_one:
	call	put_bytes
	call	is_listed
	testl	%eax, %eax
	jnz	1f
	incl	refused
	movl	$PKRS_GUEST, %eax
	call	run
	jne	9f
	ret
1:	incl	allowed
	movl	$PKRS_GUEST, %eax
	call	run
	jne	2f
	/* then it is for a reason that PKRS has no part in */
	xorl	%eax, %eax
	call	run
	jne	8f
2:	ret
8:	movq	START, %rax
	movq	%rax, ev_cr2
	FAIL
9:	movq	START, %rax
	movq	%rax, ev_cr2
	FAIL

	/* The bytes of the encoding, and INT3 behind them. */
put_bytes:
	movq	$0xcccccccccccccccc, %rax
	movq	%rax, w_bytes
	movl	$w_bytes, %edi
	movb	w_prefix, %al
	testb	%al, %al
	jz	1f
	stosb
1:	movb	w_rex, %al
	testb	%al, %al
	jz	2f
	stosb
2:	movzbl	w_map, %ebx
	cmpl	$MAP_V0F, %ebx
	jb	3f
	movb	$0xc4, %al
	stosb
	movb	w_mmmmm, %al
	orb	$0xe0, %al
	stosb
	movb	w_vex, %al
	stosb
	jmp	5f
3:	cmpl	$MAP_ROOT, %ebx
	je	5f
	movb	$0x0f, %al
	stosb
	cmpl	$MAP_0F38, %ebx
	jb	5f
	movb	$0x38, %al
	je	4f
	movb	$0x3a, %al
4:	stosb
5:	movb	w_op, %al
	stosb
	movb	w_modrm, %al
	stosb
	movq	w_bytes, %rax
	movq	%rax, START
	ret

	/* eax := 1 if the list names the encoding. */
is_listed:
	movl	w_line, %ebx
	testl	%ebx, %ebx
	jz	9f
	leaq	lines - LINE_SIZE(, %rbx, 8), %rsi
	movzbl	w_map, %eax
	cmpl	$MAP_V0F, %eax
	jb	1f
	cmpw	$0, w_prefix		/* and w_rex */
	jne	9f
	movb	w_vex, %cl
	andb	$3, %cl
	jmp	2f
1:	xorl	%ecx, %ecx
	cmpb	$0x66, w_prefix
	jb	2f
	incl	%ecx
	cmpb	$0x66, w_prefix
	je	2f
	incl	%ecx
	cmpb	$0xf3, w_prefix
	je	2f
	incl	%ecx
	cmpb	$0xf2, w_prefix
	je	2f
	xorl	%ecx, %ecx
2:	movl	$1, %edx
	shll	%cl, %edx		/* prefix */
	movzbl	w_modrm, %edi
	movl	%edi, %r8d
	shrl	$6, %r8d		/* mod */
	movl	%edi, %r9d
	shrl	$3, %r9d
	andl	$7, %r9d		/* reg */
	andl	$7, %edi		/* rm */
3:	cmpb	%al, 0(%rsi)
	jne	9f
	movb	w_op, %cl
	cmpb	LINE_FIRST(%rsi), %cl
	jb	9f
	testb	%dl, LINE_PREFIXES(%rsi)
	jz	8f
	movzbl	LINE_WHEN(%rsi), %ecx
#ifdef WALK_COMPAT
	btl	%ecx, when_compat
#else
	cmpb	$WHEN_W, %cl
	jne	4f
	cmpb	$0x48, w_rex
	jne	8f
4:	cmpb	$WHEN_R0, %cl
	jne	5f
	cmpb	$0x44, w_rex
	je	8f
5:	btl	%ecx, when_64
#endif
	jnc	8f
	movzbl	LINE_REG(%rsi), %ecx
	btl	%r9d, %ecx
	jnc	8f
	cmpl	$3, %r8d
	je	6f
	cmpb	$MOD_REG, LINE_MOD(%rsi)
	je	8f
	jmp	7f
6:	cmpb	$MOD_MEM, LINE_MOD(%rsi)
	je	8f
	movzbl	LINE_RM(%rsi), %ecx
	btl	%edi, %ecx
	jnc	8f
7:	movl	$1, %eax
	ret
8:	addq	$LINE_SIZE, %rsi
	cmpq	$lines_end, %rsi
	jb	3b
9:	xorl	%eax, %eax
	ret

	/*
	 * Run the bytes with PKRS = eax.  ZF is set when they raised #GP(0) and
	 * nothing changed.
	 */
run:
	movl	%eax, w_pkrs
	movq	$NO_EVENT, ev_vector
	movq	$back, try_rip
	movq	%rsp, try_rsp
	.irp	reg, 8, 9, 10, 12, 13, 14, 15
	movl	$(0x11111111 * (\reg & 7) + 0x1111), %r\reg\()d
	.endr
	movl	$2, %r11d
	movl	$BUFFER, %ebx
	movl	$(BUFFER + 16), %esi
	movl	$(BUFFER + 32), %edi
	movl	$(BUFFER + 64), %ebp
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	movl	$STACK, %esp
	pushq	$2
	popfq
#ifdef WALK_COMPAT
	pushq	$SEL_KCODE32
	pushq	$START
	wrpkrs
	movl	$BUFFER, %eax
	lretq
#else
	wrpkrs
	movl	$BUFFER, %eax
	jmp	START
#endif
back:
	pushq	$2
	popfq
	/* what an allowed instruction may have left */
	movw	w_data, %ss
	movw	w_data, %ds
	movw	w_data, %es
	cmpq	$VEC_GP, ev_vector
	jne	1f
	cmpq	$0, ev_error
	jne	1f
	cmpq	$START, ev_rip
	jne	1f
	cmpq	$2, ev_rflags
	je	3f
	/* RF: a fault saves it set */
	cmpq	$(2 | RFLAGS_RF), ev_rflags
	jne	1f
3:	cmpq	$STACK, ev_rsp
	jne	1f
	.irp	reg, 8, 9, 10, 12, 13, 14, 15
	cmpl	$(0x11111111 * (\reg & 7) + 0x1111), %r\reg\()d
	jne	1f
	.endr
	cmpl	$2, %r11d
	jne	1f
	cmpl	$BUFFER, %ebx
	jne	1f
	cmpl	$(BUFFER + 16), %esi
	jne	1f
	cmpl	$(BUFFER + 32), %edi
	jne	1f
	cmpl	$(BUFFER + 64), %ebp
	jne	1f
	testl	%ecx, %ecx
	jne	1f
	testl	%edx, %edx
	jne	1f
	cmpl	$BUFFER, %eax
	jne	1f
	cmpl	$0, ev_pkrs
	jne	1f
	movl	ev_cs + 4, %eax
	cmpl	%eax, w_pkrs
1:	ret

	.data
	.balign	8
lines:
#define LISTED(map, first, last, mod, reg, rm, prefixes, when, names) \
	.byte MAP_##map, first, last, MOD_##mod, reg, rm, prefixes, WHEN_##when;
#include "allow-list.h"
lines_end:
	.quad	-1
w_bytes:	.quad	0
w_line:		.long	0
w_pkrs:		.long	0
refused:	.long	0
allowed:	.long	0
when_64:	.long	1 << WHEN_ANY | 1 << WHEN_L | 1 << WHEN_W | 1 << WHEN_R0
when_compat:	.long	1 << WHEN_ANY | 1 << WHEN_C | 1 << WHEN_R0
w_data:		.long	SEL_KDATA
w_prefix:	.byte	0
w_rex:		.byte	0
w_map:		.byte	0
w_mmmmm:	.byte	0
w_vex:		.byte	0
w_op:		.byte	0
w_modrm:	.byte	0
	.balign	4
	/* Prefixes of the mode, 0F, C4 and C5 (mostly VEX): a bit each. */
not_opcodes:
#ifdef WALK_COMPAT
	.long	1 << 0x0f, 0x40404040, 0, 0xf0, 0, 0, 0x30, 0xd0000
#else
	.long	1 << 0x0f, 0x40404040, 0xffff, 0xf0, 0, 0, 0x30, 0xd0000
#endif
	.bss
first_line:	.fill	8 * 256, 2, 0

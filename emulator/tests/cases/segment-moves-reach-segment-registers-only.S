/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MOV to and from a segment register knows six of them and ignores REX.R:
 * numbers 6 and 7, and CS as a destination, are #UD, and refused in deprivileged
 * mode.  (In QEMU they reach LDTR, TR, GDTR and IDTR unless the number is checked.)
 */
#include "test.h"

	.macro to_sreg reg, rex, expected
	movl	$SEL_KDATA, %ecx
	catch	.byte \rex, 0x8e, 0xc1 | (\reg << 3)
	CHECK(ev_vector, \expected)
	.endm

	.macro from_sreg reg, rex, expected
	catch	.byte \rex, 0x8c, 0xc1 | (\reg << 3)
	CHECK(ev_vector, \expected)
	.endm

	.globl	test_main
test_main:
	str	%r12w
	sldt	%r13w
	sidt	idt_before
	sgdt	gdt_before
	.irp	rex, 0x40, 0x44
	to_sreg	1, \rex, VEC_UD
	to_sreg	6, \rex, VEC_UD
	to_sreg	7, \rex, VEC_UD
	from_sreg 6, \rex, VEC_UD
	from_sreg 7, \rex, VEC_UD
	.endr
	cki_on
	set_pkrs PKRS_GUEST
	.irp	rex, 0x40, 0x44
	to_sreg	1, \rex, VEC_GP
	to_sreg	6, \rex, VEC_GP
	to_sreg	7, \rex, VEC_GP
	from_sreg 6, \rex, VEC_GP
	from_sreg 7, \rex, VEC_GP
	to_sreg	0, \rex, NO_EVENT
	to_sreg	2, \rex, NO_EVENT
	to_sreg	3, \rex, NO_EVENT
	to_sreg	4, \rex, NO_EVENT
	to_sreg	5, \rex, NO_EVENT
	.endr
	movl	%gs, %eax
	CHECK_REG(%rax, SEL_KDATA)
	str	%ax
	cmpw	%ax, %r12w
	jne	1f
	sldt	%ax
	cmpw	%ax, %r13w
	jne	1f
	sidt	idt_after
	sgdt	gdt_after
	movq	idt_before + 2, %rax
	cmpq	%rax, idt_after + 2
	jne	1f
	movq	gdt_before + 2, %rax
	cmpq	%rax, gdt_after + 2
	jne	1f
	/* and an event still finds its way */
	catch	ud2
	CHECK(ev_vector, VEC_UD)
	ret
1:	FAIL

	.data
idt_before:	.fill	10, 1, 0
gdt_before:	.fill	10, 1, 0
idt_after:	.fill	10, 1, 0
gdt_after:	.fill	10, 1, 0

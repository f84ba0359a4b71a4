/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ring 0 in compatibility mode is deprivileged like 64-bit mode, and has no
 * WRPKRS: the checks behind one would decode as other instructions.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	.irp where, cli32, sti32, in32, out32, iret32, mov32, wrmsr32, int32, hlt32, lgdt32
	set_pkrs PKRS_GUEST
	movl $\where, %ebx
	movl %ebx, far32
	catch ljmp *far32
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_KCODE32)
	movl %ebx, %ebx
	cmpq %rbx, ev_rip
	je 1f
	FAIL
1:
	.endr
	set_pkrs PKRS_GUEST
	movl $wrpkrs32, far32
	xorl %eax, %eax
	catch ljmp *far32
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_rip, wrpkrs32)
	CHECK(ev_pkrs, PKRS_GUEST)
	movl $rdpkrs32, far32
	catch ljmp *far32
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_rip, rdpkrs32)
# INTO through a gate that is not marked, and through one that is
	movl $into32, far32
	catch ljmp *far32
	CHECK(ev_vector, 4)
	CHECK(ev_pkrs, PKRS_GUEST)
	set_pkrs 0
	gate 4, (GATE_PRIV|1)
	set_pkrs PKRS_GUEST
	catch ljmp *far32
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, (4*8+2))
	CHECK(ev_pkrs, PKRS_GUEST)
# events from there save and clear as ever
	set_pkrs 0
	movl $VEC_IRQ, %eax
	call rt_self
	movabsq $0xffffffec00000030, %rbx
	catch iretq_to spin32, SEL_KCODE32, 0x202, $guest_stack_top, SEL_KDATA, PKRS_GUEST
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000030)
	ret

	.code32
cli32: cli
sti32: sti
in32: inb $0x80, %al
out32: outb %al, $0x80
iret32: iret
mov32: movl %cr0, %eax
wrmsr32: wrmsr
int32: int $VEC_USER
hlt32: hlt
lgdt32: lgdt 0
wrpkrs32: wrpkrs
rdpkrs32: rdpkrs
into32: movb $0x7f, %al
	incb %al
	into
spin32: pause
	jmp spin32
	.code64

	.data
	.balign 8
far32: .long 0
	.word SEL_KCODE32

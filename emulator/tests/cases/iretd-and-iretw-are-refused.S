/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRETD and IRETW raise #GP(0) in deprivileged mode, to CPL 3 as well, before
 * the frame or NT is looked at.
 */
#include "test.h"

	.globl test_main
test_main:

# a stub below 64 KiB for the 16-bit IRET
	movl $0x2524ff, 0x7000
	movl $try_rip, 0x7003
	movq %rsp, %r13
	cki_on
	movl $frame32, %esp
	catch iretl
	CHECK(ev_vector, NO_EVENT)
	movl $frame16, %esp
	catch iretw
	CHECK(ev_vector, NO_EVENT)
	movq %r13, %rsp
	set_pkrs PKRS_GUEST
	.irp frame, frame32, frame16, user32, user16
	movl $\frame, %esp
	catch iretl
	CHECK_REFUSED
	movl $\frame, %esp
	catch iretw
	CHECK_REFUSED
	.endr
	movq %r13, %rsp
	pushq $(RFLAGS_NT|2)
	popfq
	catch iretl
	CHECK_REFUSED
	pushq $2
	popfq
# with a frame that cannot be read
	set_pkrs 0
	movq $guest_stack_top, %rax
	movq %rax, rt_tss+0x2c
	gate VEC_GP, 2
	set_pkrs PKRS_GUEST
	catch call unreadable32
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_pkrs, PKRS_GUEST)
	catch call unreadable16
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_pkrs, PKRS_GUEST)
# with the extension off, PKRS changes nothing
	movq %r13, %rsp
	set_pkrs 0
	cki_off
	set_msr MSR_PKRS, PKRS_GUEST
# the frame is popped through SS, which the events above have cleared
	movl $SEL_KDATA, %eax
	movl %eax, %ss
	movl $frame32, %esp
	catch iretl
	CHECK(ev_vector, NO_EVENT)
	movq %r13, %rsp
	ret

unreadable32:
	movl $0x40000000, %esp
	iretl
unreadable16:
	movl $0x40000000, %esp
	iretw

landed:
	movq try_rsp, %rsp
	jmpq *try_rip

	user_section
user_landed:
	jmp user_landed

	.data
	.balign 8
# room for the handlers' frames
	.fill 512, 1, 0
frame32:
	.long landed, SEL_KCODE, 2, guest_stack_top, SEL_KDATA
	.fill 512, 1, 0
user32:
	.long user_landed, SEL_UCODE3, 2, user_stack_top, SEL_UDATA3
	.fill 512, 1, 0
frame16:
	.word 0x7000, SEL_KCODE, 2, 0x6000, SEL_KDATA
	.fill 512, 1, 0
user16:
	.word 0x7000, SEL_UCODE3, 2, 0x6000, SEL_UDATA3

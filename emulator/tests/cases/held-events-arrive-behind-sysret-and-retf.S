/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SYSRET and RETF to CPL 3 end the holding of events as IRETQ does, although
 * PKRS stays 0.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	raise VEC_IRQ
	movq $user_there, %rcx
	movl $0x202, %r11d
	catch sysretq
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, user_there)
	CHECK(ev_cs, SEL_UCODE3)
	call rt_eoi
	raise VEC_IRQ
	catch call far_return
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, user_there)
	CHECK(ev_cs, SEL_UCODE3)
	call rt_eoi
	raise SEND_NMI
	movq $unblock, ev_hook
	movq $user_there, %rcx
	movl $2, %r11d
	catch sysretq
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, user_there)
	CHECK(ev_cs, SEL_UCODE3)
	raise SEND_NMI
	catch call far_return
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, user_there)
	CHECK(ev_cs, SEL_UCODE3)
	CHECK(ev_count, 4)
	ret

far_return:
	sti
	pushq $SEL_UDATA3
	pushq $user_stack_top
	pushq $SEL_UCODE3
	pushq $user_there
	lretq

# IRETQ ends the blocking of NMIs
unblock:
	iretq_to unblocked, SEL_KCODE, 2, $guest_stack_top, SEL_KDATA, 0
unblocked:
	movq try_rsp, %rsp
	jmpq *try_rip

	user_section
user_there:
	jmp user_there

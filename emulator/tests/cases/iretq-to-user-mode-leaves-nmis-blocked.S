/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRETQ in deprivileged mode does not end the blocking of NMIs, whose handler
 * is the monitor's; one at PKRS = 0 does.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	raise SEND_NMI
	movq $first, ev_hook
	catch iretq_to spin, SEL_KCODE, 2, $guest_stack_top, SEL_KDATA, PKRS_GUEST
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_count, 3)
	CHECK(ev_cs, 0xffffffec0000002b)
	ret

spin:
	pause
	jmp spin

first:
	CHECK(ev_vector, VEC_NMI)
	movq $guest_stack_top, %rsp
	raise SEND_NMI
	set_pkrs PKRS_GUEST
	catch iretq_to user_wait, SEL_UCODE3, 0x202, $user_stack_top, SEL_UDATA3, 0
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_count, 2)
	set_pkrs 0
	catch iretq_to user_wait, SEL_UCODE3, 2, $user_stack_top, SEL_UDATA3, PKRS_GUEST
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, user_wait)
	movq $rt_stack_top-8, %rsp
	CHECK(ev_count, 3)
	CHECK(ev_cs, 0xffffffec0000002b)
	ret

	user_section
user_wait:
	movl $1000, %ecx
1: pause
	loop 1b
	int $VEC_USER

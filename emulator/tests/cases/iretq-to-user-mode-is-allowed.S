/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRETQ in deprivileged mode goes to CPL 3, to 64-bit and to 32-bit code, and
 * leaves PKRS as it is, whatever bits 63:16 of the CS slot hold.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
	catch iretq_to user_int, SEL_UCODE3, 0x202, $user_stack_top-64, SEL_UDATA3, 0
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_rip, user_after)
	CHECK(ev_cs, SEL_UCODE3)
	CHECK(ev_rsp, (user_stack_top-64))
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_count, 1)
# no other value of PKRS, from the slot or elsewhere
	.irp value, 0, PKRS_OTHER, 0xffffffff, 1
	catch iretq_to user_int, SEL_UCODE3, 0x202, $user_stack_top, SEL_UDATA3, \value
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_cs, SEL_UCODE3)
	CHECK(ev_pkrs, PKRS_GUEST)
	.endr
	catch iretq_to user_int, 0xffff0000|SEL_UCODE3, 0x202, $user_stack_top, SEL_UDATA3, 0xffffffff
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_pkrs, PKRS_GUEST)
	catch iretq_to user_int, SEL_UCODE32+3, 0x202, $user_stack_top, SEL_UDATA3, 0
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_rip, user_after)
	CHECK(ev_cs, (SEL_UCODE32+3))
	CHECK(ev_pkrs, PKRS_GUEST)
# a prefix of another operand size changes nothing beside REX.W
	catch call prefixed
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_pkrs, PKRS_GUEST)
# and back: the kernel is deprivileged
	catch cli
	CHECK_REFUSED
	ret

prefixed:
	pushq $SEL_UDATA3
	pushq $user_stack_top
	pushq $0x202
	pushq $SEL_UCODE3
	pushq $user_int
	.byte 0x66, 0x48, 0xcf

	user_section
user_int:
	int $VEC_USER
user_after:
1: jmp 1b

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events that were held arrive in front of the instruction that IRETQ goes
 * to, if that has PKRS != 0 or CPL 3: the latter also with PKRS = 0. IRETQ
 * to CPL 0 and PKRS = 0 keeps holding them.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	raise VEC_IRQ
	guest there, PKRS_GUEST
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, there)
	CHECK(ev_cs, 0xffffffec00000008)
	call rt_eoi
	raise VEC_IRQ
	user user_there, PKRS_GUEST
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, user_there)
	CHECK(ev_cs, 0xffffffec0000002b)
	call rt_eoi
	raise VEC_IRQ
	user user_there, 0
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, user_there)
	CHECK(ev_cs, SEL_UCODE3)
	CHECK(ev_pkrs, 0)
	call rt_eoi
	CHECK(ev_count, 3)
# to PKRS = 0, and from there to PKRS != 0
	raise VEC_IRQ
	guest still, 0
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, there)
	CHECK(ev_count, 4)
	call rt_eoi
# NMIs, with IF = 0
	raise SEND_NMI
	movq $user_next, ev_hook
	guest there, PKRS_GUEST, 2
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, user_there)
	CHECK(ev_cs, SEL_UCODE3)
	CHECK(ev_count, 6)
	ret

still:
	wait_a_while
	CHECK(ev_count, 3)
	iretq_to there, SEL_KCODE, 0x202, $guest_stack_top, SEL_KDATA, PKRS_OTHER

there:
	FAIL

user_next:
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, there)
	CHECK(ev_cs, 0xffffffec00000008)
	raise SEND_NMI
	wait_a_while
	iretq_to user_there, SEL_UCODE3, 2, $user_stack_top, SEL_UDATA3, 0

	user_section
user_there:
	jmp user_there

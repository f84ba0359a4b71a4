/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * NMIs stay blocked in the handler of an NMI until IRETQ; the second NMI
 * then arrives in deprivileged mode, with IF = 0, and saves and clears PKRS.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	raise SEND_NMI
	movq $first, ev_hook
	guest spin, PKRS_GUEST, 2
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_count, 2)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_frame, (ist1_top-40))
	ret

spin:
	pause
	jmp spin

# in the handler of the first NMI: another one has to wait
first:
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_cs, 0xffffffec00000008)
	movq $guest_stack_top, %rsp
	raise SEND_NMI
	set_pkrs PKRS_GUEST
	wait_a_while
	CHECK(ev_count, 1)
	set_pkrs 0
	iretq_to spin, SEL_KCODE, 2, $guest_stack_top, SEL_KDATA, PKRS_GUEST

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An NMI and an external interrupt that were held together both arrive in
 * front of the same instruction, the NMI first: the interrupt stays held
 * in its handler, which runs at PKRS = 0, until the handler's IRETQ.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	raise VEC_IRQ
	raise SEND_NMI
	movq $first, ev_hook
	sti
	wait_a_while
	CHECK(ev_count, 0)
	catch call leave
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_count, 2)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	ret

leave:
	set_pkrs PKRS_GUEST
left:
	FAIL

first:
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	sti
	wait_a_while
	CHECK(ev_count, 1)
	iretq

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An external interrupt at CPL 3 saves the PKRS of the container above CS
 * and enters its handler with PKRS = 0.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movl $VEC_IRQ, %eax
	call rt_self
	user user_spin, PKRS_GUEST
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec0000002b)
	CHECK(ev_frame, (ist1_top-40))
	ret

	user_section
user_spin:
	pause
	jmp user_spin

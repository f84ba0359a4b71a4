/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * INT3 is allowed in deprivileged mode through a gate that is not marked;
 * through a marked one it raises #GP with the selector of the gate, at CPL 0
 * and at CPL 3.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
	catch int3
	CHECK(ev_vector, VEC_BP)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_KCODE)
	set_pkrs 0
	user user_int3, PKRS_GUEST
	CHECK(ev_vector, VEC_BP)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_UCODE3)
	set_pkrs 0
	gate VEC_BP, (GATE_PRIV|1)
	movb $0xee, rt_idt + VEC_BP * 16 + 5
	set_pkrs PKRS_GUEST
	catch int3
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, (VEC_BP*8+2))
	CHECK(ev_pkrs, PKRS_GUEST)
	set_pkrs 0
	user user_int3, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, (VEC_BP*8+2))
	CHECK(ev_rip, user_int3)
	CHECK(ev_pkrs, PKRS_GUEST)
	ret

	user_section
user_int3:
	int3
1: jmp 1b

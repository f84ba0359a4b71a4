/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * INT n at CPL 3 works through a gate that is not marked, keeping PKRS, and
 * raises #GP at a marked one whose DPL would let it pass.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	user user_int, PKRS_GUEST
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_UCODE3)
	CHECK(ev_frame, (rsp0_top-40))
	set_pkrs 0
	user user_forge, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, (VEC_USER_PRIV*8+2))
	CHECK(ev_rip, user_forge)
	CHECK(ev_pkrs, PKRS_GUEST)
	ret

	user_section
user_int:
	int $VEC_USER
user_forge:
	int $VEC_USER_PRIV
1: jmp 1b

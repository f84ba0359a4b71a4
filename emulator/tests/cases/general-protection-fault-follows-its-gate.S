/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * #GP keeps PKRS through a gate that is not marked, and saves and clears it
 * through one that is.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
	catch cli
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_KCODE)
	set_pkrs 0
	gate VEC_GP, (GATE_PRIV|1)
	set_pkrs PKRS_GUEST
	catch cli
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	user user_hlt, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec0000002b)
	set_pkrs 0
	gate VEC_GP, 0
	user user_hlt, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_UCODE3)
	ret

	user_section
user_hlt:
	hlt

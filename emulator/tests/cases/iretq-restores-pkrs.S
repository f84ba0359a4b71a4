/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRETQ at PKRS = 0 takes PKRS from the upper half of the CS slot, to CPL 0
 * and to CPL 3, together with IF.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	guest probe, PKRS_GUEST
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK_MASKED(ev_rflags, RFLAGS_IF, RFLAGS_IF)
	set_pkrs 0
	guest probe, 0x12340000
	CHECK(ev_pkrs, 0x12340000)
	set_pkrs 0
	user user_ud2, PKRS_OTHER
	CHECK(ev_pkrs, PKRS_OTHER)
	set_pkrs 0
	gate VEC_UD, (GATE_PRIV|1)
	guest probe, 0
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, SEL_KCODE)
	ret

probe:
	ud2

	user_section
user_ud2:
	ud2

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * INT1 raises #GP(0) while the extension is on, at CPL 0 and at CPL 3: it
 * would be a debug exception that software makes.
 */
#include "test.h"

	.globl test_main
test_main:

	set_msr MSR_PKRS, KEY_AD(4)
	catch .byte 0xf1
	CHECK(ev_vector, VEC_DB)
	set_msr MSR_PKRS, 0
	cki_on
	set_pkrs PKRS_GUEST
	catch .byte 0xf1
	CHECK_REFUSED
	set_pkrs 0
	user user_int1, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_rip, user_int1)
# PKRS is still the container's
	set_pkrs 0
	gate VEC_GP, (GATE_PRIV|1)
	catch .byte 0xf1
	CHECK(ev_vector, VEC_GP)
	ret

	user_section
user_int1:
	.byte 0xf1
1: jmp 1b

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HLT raises #GP(0) while the extension is on: in deprivileged mode because it
 * is the container that waits, and at PKRS = 0 because nothing could end it.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
	catch hlt
	CHECK_REFUSED
	set_pkrs 0
	user user_hlt, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_rip, user_hlt)
	set_pkrs 0
	gate VEC_GP, (GATE_PRIV|1)
	raise VEC_IRQ
	catch call halt
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_rip, halt+1)
	CHECK(ev_pkrs, 0)
	cki_off
	set_msr MSR_PKRS, KEY_AD(4)
	catch call halt
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, halted)
	ret

halt:
	sti
	hlt
halted:
	FAIL

	user_section
user_hlt:
	hlt

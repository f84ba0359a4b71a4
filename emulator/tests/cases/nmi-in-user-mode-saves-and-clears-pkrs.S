/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An NMI at CPL 3 saves and clears PKRS, also through a gate that is not
 * marked.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_NMI, 1
	cki_on
	raise SEND_NMI
	user user_spin, PKRS_GUEST, 2
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_count, 1)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec0000002b)
	CHECK(ev_frame, (ist1_top-40))
	ret

	user_section
user_spin:
	pause
	jmp user_spin

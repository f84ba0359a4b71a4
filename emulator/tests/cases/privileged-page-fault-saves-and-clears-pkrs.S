/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page fault through a marked gate saves and clears PKRS, from CPL 0 and
 * from CPL 3.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_PF, (GATE_PRIV|1)
	cki_on
	set_pkrs PKRS_GUEST
	catch movq key1_word, %rbx
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_PK))
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_frame, (ist1_top-40))
# at PKRS = 0: a fault of the monitor
	catch movq 0x40000000, %rbx
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, 0)
	CHECK(ev_cs, SEL_KCODE)
	user user_load, PKRS_GUEST
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_U))
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec0000002b)
	ret

	user_section
user_load:
	movq key1_word, %rax

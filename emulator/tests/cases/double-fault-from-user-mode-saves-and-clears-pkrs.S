/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fault at CPL 3 whose RSP0 lies in monitor memory becomes #DF: RSP0 is
 * used with the PKRS of the container.
 */
#include "test.h"

	.globl test_main
test_main:
	movq $(key1_word+64), %rax
	movq %rax, rt_tss+4
	cki_on
	user user_ud2, PKRS_GUEST
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec0000002b)
	CHECK(key1_word+16, 0)
	CHECK(key1_word+40, 0)
	ret

	user_section
user_ud2:
	ud2

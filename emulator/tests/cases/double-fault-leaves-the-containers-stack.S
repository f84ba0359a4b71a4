/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fault whose frame cannot be written becomes #DF, which saves and clears
 * PKRS. Nothing is written to monitor memory, although RSP points there.
 */
#include "test.h"

	.globl test_main
test_main:
	movq $0x1111, key1_word
	cki_on
	guest bad_rsp, PKRS_GUEST
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_error, 0)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_frame, (ist1_top-40))
	CHECK(key1_word, 0x1111)
	CHECK(key1_word+8, 0)
	CHECK(key1_word+16, 0)
	CHECK(key1_word+40, 0)
	ret

bad_rsp:
	movl $(key1_word+64), %esp
	ud2

/* SPDX-License-Identifier: GPL-2.0-only */
/* #DF is privileged through a gate that is not marked. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_DF, 1
	cki_on
	guest bad_rsp, PKRS_GUEST
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	ret

bad_rsp:
	movl $(key1_word+64), %esp
	ud2

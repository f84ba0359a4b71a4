/* SPDX-License-Identifier: GPL-2.0-only */
/* The same holds at CPL 3, where no container ever has PKRS = 0. */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	user user_ud2, 0
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, SEL_UCODE3)
	user user_int, 0
	CHECK(ev_vector, VEC_DF)
	ret

	user_section
user_ud2:
	ud2
user_int:
	int $VEC_USER
1: jmp 1b

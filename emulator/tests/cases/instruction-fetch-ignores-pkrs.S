/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PKRS restricts data, not fetches: code in a page with a closed key runs,
 * and cannot be read.
 */
#include "test.h"

	.globl test_main
test_main:
	movb $0xc3, key1_word
	cki_on
	set_pkrs PKRS_GUEST
	catch call key1_word
	CHECK(ev_vector, NO_EVENT)
	catch movb key1_word, %bl
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_PK))
	ret

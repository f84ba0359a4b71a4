/* SPDX-License-Identifier: GPL-2.0-only */
/* Software interrupts never pass a marked gate, not even at PKRS = 0. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_GP, (GATE_PRIV|1)
	cki_on
	catch int $VEC_USER_PRIV
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, (VEC_USER_PRIV*8+2))
	CHECK(ev_pkrs, 0)
	ret

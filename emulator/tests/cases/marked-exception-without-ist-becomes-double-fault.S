/* SPDX-License-Identifier: GPL-2.0-only */
/* An exception through a privileged gate without an IST stack becomes #DF. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_UD, GATE_PRIV
	cki_on
	set_pkrs PKRS_GUEST
	catch ud2
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_error, 0)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	ret

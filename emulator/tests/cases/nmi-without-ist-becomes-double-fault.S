/* SPDX-License-Identifier: GPL-2.0-only */
/* An NMI through a gate without an IST stack becomes #DF. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_NMI, GATE_PRIV
	cki_on
	raise SEND_NMI
	guest spin, PKRS_GUEST
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_pkrs, 0)
	ret

spin:
	pause
	jmp spin

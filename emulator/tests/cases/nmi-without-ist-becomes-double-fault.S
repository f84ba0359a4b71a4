/* SPDX-License-Identifier: GPL-2.0-only */
/* An NMI through a gate without an IST stack becomes #DF. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_NMI, GATE_PRIV
	cki_on
	catch call raise
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_pkrs, 0)
	ret

raise:
	movl $0x400, %eax
	call rt_self

spin:
	pause
	jmp spin

/* SPDX-License-Identifier: GPL-2.0-only */
/* An external interrupt clears PKRS also through a gate that is not marked. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_IRQ, 1
	cki_on
	movl $VEC_IRQ, %eax
	call rt_self
	guest spin, PKRS_GUEST
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_frame, (ist1_top-40))
	ret

spin:
	pause
	jmp spin

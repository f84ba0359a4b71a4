/* SPDX-License-Identifier: GPL-2.0-only */
/* An external interrupt at CPL 0 and PKRS = 0 saves 0 and stays at 0. */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movl $VEC_IRQ, %eax
	call rt_self
	catch call spin_on
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, SEL_KCODE)
	CHECK(ev_frame, (ist1_top-40))
	ret

spin_on:
	sti

spin:
	pause
	jmp spin

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A privileged event whose gate has no IST stack becomes #DF: a frame is
 * never written with PKRS = 0 through RSP or RSP0.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_IRQ, GATE_PRIV
	cki_on
	movl $VEC_IRQ, %eax
	call rt_self
	guest spin, PKRS_GUEST
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_error, 0)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	set_msr 0x80b, 0
	gate VEC_IRQ, 0
	movl $VEC_IRQ, %eax
	call rt_self
	user user_spin, PKRS_GUEST
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_cs, 0xffffffec0000002b)
	ret

spin:
	pause
	jmp spin

	user_section
user_spin:
	pause
	jmp user_spin

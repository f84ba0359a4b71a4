/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An external interrupt that finds PKRS != 0 at CPL 0 saves PKRS above CS
 * and enters its handler with PKRS = 0, on an IST stack in memory that the
 * container cannot touch, although the container left no stack at all.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movl $VEC_IRQ, %eax
	call rt_self
	catch iretq_to spin, SEL_KCODE, 0x202, $0x666, SEL_KDATA, PKRS_GUEST
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_frame, (ist1_top-40))
	CHECK(ev_rsp, 0x666)
	CHECK(ev_count, 1)
	ret

spin:
	pause
	jmp spin

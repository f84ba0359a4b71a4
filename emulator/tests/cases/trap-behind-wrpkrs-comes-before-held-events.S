/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A single-step trap behind the WRPKRS that ends the holding comes first; what
 * was held waits for its handler, too, and then arrives at the same place.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	raise VEC_IRQ
	movq $trap, ev_hook
	catch call leave
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_count, 2)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	ret

leave:
	movl $PKRS_GUEST, %eax
	pushq $(RFLAGS_TF|0x202)
	popfq
	wrpkrs
left:
	FAIL

trap:
	CHECK(ev_vector, VEC_DB)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	wait_a_while
	CHECK(ev_count, 1)
	andl $~RFLAGS_TF, 16(%rsp)
	iretq

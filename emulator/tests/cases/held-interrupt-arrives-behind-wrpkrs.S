/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An external interrupt that was held arrives in front of the first
 * instruction behind the WRPKRS that ends the holding, neither earlier nor
 * later, and saves the value that was written.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movl $100, %r12d
1: raise VEC_IRQ
	sti
	wait_a_while
	CHECK(ev_count, 0)
	catch call leave
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_pkrs, 0)
	CHECK(ev_frame, (ist1_top-40))
	CHECK_MASKED(ev_rflags, RFLAGS_IF, RFLAGS_IF)
	call rt_eoi
	movq $0, ev_count
	decl %r12d
	jnz 1b
# WRPKRS of 0 ends nothing
	raise VEC_IRQ
	sti
	set_pkrs 0
	wait_a_while
	CHECK(ev_count, 0)
	ret

leave:
	set_pkrs PKRS_GUEST
left:
	FAIL

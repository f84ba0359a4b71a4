/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An external interrupt at CPL 0 and PKRS = 0 stays pending however IF comes
 * and goes: only what ends the holding lets it in.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	raise VEC_IRQ
	movl $100, %r12d
1: sti
	pause
	pause
	cli
	pushq $0x202
	popfq
	pause
	decl %r12d
	jnz 1b
	wait_a_while
	CHECK(ev_count, 0)
# IF alone keeps it from arriving at PKRS != 0
	cli
	set_pkrs PKRS_GUEST
	wait_a_while
	CHECK(ev_count, 0)
	set_pkrs 0
	sti
	wait_a_while
	CHECK(ev_count, 0)
	catch call leave
	CHECK(ev_vector, VEC_IRQ)
	ret

leave:
	set_pkrs PKRS_GUEST
	FAIL

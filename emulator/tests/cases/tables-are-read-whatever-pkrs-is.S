/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Event delivery reads IDT, GDT and TSS as if PKRS were 0: a container that
 * closes them cannot turn the next event into a triple fault.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movl $VEC_IRQ, %eax
	call rt_self
	guest spin, PKRS_CLOSED
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xfffffffc00000008)
	set_pkrs PKRS_CLOSED
	catch ud2
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_pkrs, PKRS_CLOSED)
	set_pkrs 0
	user user_ud2, PKRS_CLOSED
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_pkrs, PKRS_CLOSED)
# all keys closed, the container's own stack too
	set_pkrs 0
	guest closed, PKRS_GUEST
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_cs, 0xffffffff00000008)
	ret

closed:
	movl $-1, %eax
	wrpkrs
	ud2

spin:
	pause
	jmp spin

	user_section
user_ud2:
	ud2

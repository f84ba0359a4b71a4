/* SPDX-License-Identifier: GPL-2.0-only */
/* HLT raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:

	cki_on
	movl $VEC_IRQ, %eax
	call rt_self

	catch call halt
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, halted)
	call rt_eoi
	set_pkrs PKRS_GUEST

	catch hlt
	CHECK_REFUSED
	set_pkrs 0
	cki_off
	set_msr MSR_PKRS, KEY_AD(4)
	movl $VEC_IRQ, %eax
	call rt_self

	catch call halt
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, halted)
	ret

halt:
	sti
	hlt
halted:
	FAIL

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MWAIT raises #GP(0) at CPL 0 while the extension is on: in deprivileged mode
 * because it is the container that waits, and at PKRS = 0 because nothing
 * could end it.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
	call clear
	catch mwait
	CHECK_REFUSED
	set_pkrs 0
	gate VEC_GP, (GATE_PRIV|1)
	raise VEC_IRQ
	call clear
	catch call halt
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_rip, halt+1)
	CHECK(ev_pkrs, 0)
	cki_off
	set_msr MSR_PKRS, KEY_AD(4)
	call clear
	catch call halt
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, halted)
	ret

clear:
	xorl %eax, %eax
	xorl %ecx, %ecx
	xorl %edx, %edx
	ret

halt:
	sti
	mwait
halted:
	FAIL

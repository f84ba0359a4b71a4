/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * INT n raises #GP(0) in deprivileged mode, whatever the gate and its DPL:
 * an interrupt cannot be forged.
 */
#include "test.h"

	.globl test_main
test_main:

	cki_on
	set_pkrs PKRS_GUEST
	catch int $VEC_USER
	CHECK_REFUSED
	catch int $VEC_USER_PRIV
	CHECK_REFUSED
	catch int $VEC_IRQ
	CHECK_REFUSED
	catch int $VEC_NMI
	CHECK_REFUSED
	catch int $VEC_DF
	CHECK_REFUSED
# INT 3 in its two-byte form
	catch .byte 0xcd, 0x03
	CHECK_REFUSED
	set_pkrs 0
	cki_off
	set_msr MSR_PKRS, PKRS_GUEST
	catch int $VEC_USER
	CHECK(ev_vector, VEC_USER)
	ret

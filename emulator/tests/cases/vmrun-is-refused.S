/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMRUN raises #GP(0) in deprivileged mode, and also at PKRS = 0 while the
 * extension is on.
 */
#include "test.h"

	.globl test_main
test_main:
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x1000, %eax
	wrmsr
	gate VEC_GP, (GATE_PRIV|1)
	cki_on
	movl $test_page, %eax
	catch vmrun
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_pkrs, 0)
	gate VEC_GP, 0
	set_pkrs PKRS_GUEST
	movl $test_page, %eax
	catch vmrun
	CHECK_REFUSED
	ret

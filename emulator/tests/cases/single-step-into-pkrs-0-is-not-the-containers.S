/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A trap flag that is set before a WRPKRS traps behind it, at PKRS = 0:
 * through a marked gate to the monitor, and else as #DF.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	guest step, PKRS_GUEST
	CHECK(ev_vector, VEC_DB)
	CHECK(ev_rip, stepped)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, SEL_KCODE)
	gate VEC_DB, 0
	guest step, PKRS_GUEST
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_rip, stepped)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, SEL_KCODE)
	ret

step:
	pushq $(RFLAGS_TF|2)
	xorl %eax, %eax
	popfq
	wrpkrs
stepped:
	ud2

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A single-step trap in deprivileged mode saves and clears PKRS through a
 * marked gate and keeps it through another.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	guest step, PKRS_GUEST
	CHECK(ev_vector, VEC_DB)
	CHECK(ev_rip, stepped)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	gate VEC_DB, 0
	guest step, PKRS_GUEST
	CHECK(ev_vector, VEC_DB)
	CHECK(ev_rip, stepped)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_KCODE)
	ret

step:
	pushq $(RFLAGS_TF|2)
	popfq
	nop
stepped:
	ud2

/* SPDX-License-Identifier: GPL-2.0-only */
/* WRMSR to PKRS ends the holding of events as WRPKRS does. */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	raise VEC_IRQ
	sti
	wait_a_while
	CHECK(ev_count, 0)
	catch call leave
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_pkrs, 0)
	call rt_eoi
	raise SEND_NMI
	catch call leave
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, left)
	ret

leave:
	set_msr MSR_PKRS, PKRS_GUEST
left:
	FAIL

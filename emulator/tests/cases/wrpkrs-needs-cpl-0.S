/* SPDX-License-Identifier: GPL-2.0-only */
/* WRPKRS and RDPKRS are #UD at CPL 3. */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	user user_wrpkrs, PKRS_GUEST
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_rip, user_wrpkrs)
	CHECK(ev_pkrs, PKRS_GUEST)
	set_pkrs 0
	user user_rdpkrs, PKRS_GUEST
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_rip, user_rdpkrs)
	ret

	user_section
user_wrpkrs:
	wrpkrs
user_rdpkrs:
	rdpkrs
1: jmp 1b

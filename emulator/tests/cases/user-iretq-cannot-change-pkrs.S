/* SPDX-License-Identifier: GPL-2.0-only */
/* IRETQ at CPL 3 ignores the upper half of the CS slot. */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	user user_iretq, PKRS_GUEST
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_rip, user_after)
	CHECK(ev_pkrs, PKRS_GUEST)
	set_pkrs 0
	user user_iretq2, PKRS_GUEST
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_pkrs, PKRS_GUEST)
# not from PKRS = 0 either: the INT behind it is still #DF
	set_pkrs 0
	user user_iretq2, 0
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_cs, SEL_UCODE3)
	ret

	user_section
user_iretq:
	iretq_to user_there, SEL_UCODE3, 0x202, $user_stack_top, SEL_UDATA3, 0
user_iretq2:
	iretq_to user_there, SEL_UCODE3, 0x202, $user_stack_top, SEL_UDATA3, 0x55550000
user_there:
	int $VEC_USER
user_after:
1: jmp 1b

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SYSENTER raises #GP(0) while the extension is on, at CPL 0 and at CPL 3:
 * it clears IF on its way into ring 0.
 */
#include "test.h"

	.globl test_main
test_main:

	catch sysenter
	CHECK(ev_vector, VEC_UD)
	cki_on
	set_pkrs PKRS_GUEST
	catch sysenter
	CHECK_REFUSED
	set_pkrs 0
	user user_sysenter, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_rip, user_sysenter)
	CHECK(ev_pkrs, PKRS_GUEST)
# compatibility mode has SYSENTER on all processors
	set_pkrs 0
	set_msr 0x174, SEL_KCODE
	set_msr 0x176, entered
	catch iretq_to user_sysenter, 0x1b, 0x202, $user_stack_top, SEL_UDATA3, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_rip, user_sysenter)
	ret

entered:
	FAIL

	user_section
user_sysenter:
	sysenter
1: jmp 1b

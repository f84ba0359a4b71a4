/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SYSCALL raises #GP(0) at PKRS = 0 while the extension is on, from CPL 3
 * and CPL 0: LSTAR belongs to the container.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_GP, (GATE_PRIV|1)
	cki_on
	user user_syscall, 0
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	CHECK(ev_rip, user_syscall)
	catch syscall
	CHECK(ev_vector, VEC_GP)
	set_pkrs PKRS_GUEST
	catch syscall
	CHECK(ev_vector, 0x100)
	ret

	user_section
user_syscall:
	syscall
1: jmp 1b

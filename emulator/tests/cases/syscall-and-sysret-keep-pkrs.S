/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SYSCALL and SYSRET go between a container and its user without touching
 * PKRS.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	user user_syscall, PKRS_GUEST
	CHECK(ev_vector, 0x100)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_rip, user_back)
	CHECK_MASKED(ev_now_rflags, RFLAGS_IF, RFLAGS_IF)
# and back, from the system call
	movq $user_back, %rcx
	movl $0x202, %r11d
	catch sysretq
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_cs, SEL_UCODE3)
	ret

	user_section
user_syscall:
	syscall
user_back:
	int $VEC_USER
1: jmp 1b

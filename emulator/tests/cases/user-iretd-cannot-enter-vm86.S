/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRETD at CPL 3 with VM, IOPL = 3 and IF = 0 in its frame changes none of the
 * three: virtual-8086 mode does not exist in long mode.
 */
#include "test.h"

	.globl	test_main
test_main:
	cki_on
	catch	iretq_to user_iretd, SEL_UCODE32+3, 0x202, $user_stack_top, SEL_UDATA3, PKRS_GUEST
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_rip, user_after)
	CHECK(ev_cs, SEL_UCODE32+3)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK_MASKED(ev_rflags, (RFLAGS_IF|RFLAGS_IOPL|RFLAGS_VM|1), RFLAGS_IF|1)
	ret

	user_section
	.code32
user_iretd:
	pushl	$(RFLAGS_VM | RFLAGS_IOPL | 3)
	pushl	$(SEL_UCODE32 + 3)
	pushl	$user_there
	iretl
user_there:
	int	$VEC_USER
user_after:
1:	jmp	1b
	.code64

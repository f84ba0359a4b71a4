/* SPDX-License-Identifier: GPL-2.0-only */
/* IRETD at PKRS = 0 leaves PKRS at 0. */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movl $frame, %esp
	iretl
landed:
	movq $rt_stack_top-8, %rsp
	CHECK_PKRS(0)
	ret

	.data
frame: .long landed, SEL_KCODE, 2, guest_stack_top, SEL_KDATA

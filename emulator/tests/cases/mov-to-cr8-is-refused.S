/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MOV to CR8 raises #GP(0) in deprivileged mode. A raised task priority
 * would hold interrupts back.
 */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, movq %rax, %cr8)
	PRIVILEGED(NO_EVENT, .byte 0xf0, 0x0f, 0x22, 0xc0)
	ret

	.globl before_each
before_each:
	xorl %eax, %eax
	ret

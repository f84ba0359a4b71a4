/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * INVPCID raises #GP(0) in deprivileged mode, also on a processor without
 * it.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_UD, (GATE_PRIV|1)
	PRIVILEGED(VEC_UD, .byte 0x66, 0x0f, 0x38, 0x82, 0x08)
	ret

	.globl before_each
before_each:
	movl $test_page, %eax
	xorl %ecx, %ecx
	ret

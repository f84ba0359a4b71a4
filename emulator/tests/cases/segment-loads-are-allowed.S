/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Data segment registers are loaded in deprivileged mode from descriptors
 * whose accessed bit is set.
 */
#include "test.h"

	.globl test_main
test_main:
	ALLOWED(movw %cx, %ds)
	ALLOWED(movw %cx, %es)
	ALLOWED(movw %cx, %ss)
	ALLOWED(movw %cx, %fs)
	ALLOWED(movw %cx, %gs)
	ret

	.globl before_each
before_each:
	movl $SEL_KDATA, %ecx
	ret

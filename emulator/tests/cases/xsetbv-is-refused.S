/* SPDX-License-Identifier: GPL-2.0-only */
/* XSETBV raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, xsetbv)
	ret

	.globl before_each
before_each:
	xorl %ecx, %ecx
	xorl %edx, %edx
	movl $3, %eax
	ret

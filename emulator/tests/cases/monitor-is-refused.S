/* SPDX-License-Identifier: GPL-2.0-only */
/* MONITOR raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, monitor)
	ret

	.globl before_each
before_each:
	movl $test_page, %eax
	xorl %ecx, %ecx
	xorl %edx, %edx
	ret

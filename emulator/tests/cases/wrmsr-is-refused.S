/* SPDX-License-Identifier: GPL-2.0-only */
/* WRMSR raises #GP(0) in deprivileged mode, whatever the register. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, wrmsr)
	ret

	.globl before_each
before_each:
	movl $0xc0000102, %ecx
	xorl %eax, %eax
	xorl %edx, %edx
	ret

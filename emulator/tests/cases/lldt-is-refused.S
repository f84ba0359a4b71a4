/* SPDX-License-Identifier: GPL-2.0-only */
/* LLDT raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, lldt %ax)
	ret

	.globl before_each
before_each:
	movl $SEL_LDT, %eax
	ret

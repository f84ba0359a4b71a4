/* SPDX-License-Identifier: GPL-2.0-only */
/* LMSW raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	movq %cr0, %r12
	PRIVILEGED(NO_EVENT, lmsw %ax)
	ret

	.globl before_each
before_each:
	movl %r12d, %eax
	ret

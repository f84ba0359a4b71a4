/* SPDX-License-Identifier: GPL-2.0-only */
/* MOV to CR4 raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	movq %cr4, %r12
	PRIVILEGED(NO_EVENT, movq %rax, %cr4)
	ret

	.globl before_each
before_each:
	movq %r12, %rax
	ret

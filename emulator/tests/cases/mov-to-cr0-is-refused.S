/* SPDX-License-Identifier: GPL-2.0-only */
/* MOV to CR0 raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	movq %cr0, %r12
	PRIVILEGED(NO_EVENT, movq %rax, %cr0)
	ret

	.globl before_each
before_each:
	movq %r12, %rax
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/* MOV to a debug register raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, movq %rax, %dr0)
	PRIVILEGED(NO_EVENT, movq %rax, %dr3)
	PRIVILEGED(NO_EVENT, movq %rax, %dr6)
	PRIVILEGED(NO_EVENT, movq %rax, %dr7)
	ret

	.globl before_each
before_each:
	movl $0x400, %eax
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MOV to and from CR2 work in deprivileged mode: the container handles its
 * page faults.
 */
#include "test.h"

	.globl test_main
test_main:
	ALLOWED(movq %cr2, %rbx)
	ALLOWED(movq %rbx, %cr2)
	ret

	.globl before_each
before_each:
	movl $0x1234, %ebx
	ret

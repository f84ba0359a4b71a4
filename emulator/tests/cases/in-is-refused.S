/* SPDX-License-Identifier: GPL-2.0-only */
/* IN raises #GP(0) in deprivileged mode, although CPL is not above IOPL. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, inb $0x80, %al)
	PRIVILEGED(NO_EVENT, inw $0x80, %ax)
	PRIVILEGED(NO_EVENT, inl $0x80, %eax)
	PRIVILEGED(NO_EVENT, inb %dx, %al)
	PRIVILEGED(NO_EVENT, inw %dx, %ax)
	PRIVILEGED(NO_EVENT, inl %dx, %eax)
	ret

	.globl before_each
before_each:
	movl $0x80, %edx
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/* OUT raises #GP(0) in deprivileged mode, although CPL is not above IOPL. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, outb %al, $0x80)
	PRIVILEGED(NO_EVENT, outw %ax, $0x80)
	PRIVILEGED(NO_EVENT, outl %eax, $0x80)
	PRIVILEGED(NO_EVENT, outb %al, %dx)
	PRIVILEGED(NO_EVENT, outw %ax, %dx)
	PRIVILEGED(NO_EVENT, outl %eax, %dx)
	ret

	.globl before_each
before_each:
	movl $0x80, %edx
	xorl %eax, %eax
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/* STGI raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x1000, %eax
	wrmsr
	PRIVILEGED(NO_EVENT, stgi)
	ret

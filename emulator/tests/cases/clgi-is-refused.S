/* SPDX-License-Identifier: GPL-2.0-only */
/* CLGI raises #GP(0) in deprivileged mode: it would hold back even NMIs. */
#include "test.h"

	.globl test_main
test_main:
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x1000, %eax
	wrmsr
	PRIVILEGED(NO_EVENT, clgi)
	ret

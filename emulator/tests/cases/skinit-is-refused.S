/* SPDX-License-Identifier: GPL-2.0-only */
/* SKINIT raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_UD, (GATE_PRIV|1)
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x1000, %eax
	wrmsr
	PRIVILEGED(VEC_UD, skinit)
	ret

	.globl before_each
before_each:
	xorl %eax, %eax
	ret

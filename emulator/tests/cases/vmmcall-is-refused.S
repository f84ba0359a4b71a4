/* SPDX-License-Identifier: GPL-2.0-only */
/* VMMCALL raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_UD, (GATE_PRIV|1)
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x1000, %eax
	wrmsr
	PRIVILEGED(VEC_UD, vmmcall)
	ret

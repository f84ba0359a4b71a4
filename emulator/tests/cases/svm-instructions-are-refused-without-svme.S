/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SVM instructions raise #GP(0) in deprivileged mode, and not #UD, while
 * EFER.SVME is 0.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_UD, (GATE_PRIV|1)
	PRIVILEGED(VEC_UD, vmrun)
	PRIVILEGED(VEC_UD, vmload)
	PRIVILEGED(VEC_UD, vmsave)
	PRIVILEGED(VEC_UD, clgi)
	PRIVILEGED(VEC_UD, invlpga)
	PRIVILEGED(VEC_UD, vmmcall)
	ret

	.globl before_each
before_each:
	movl $test_page, %eax
	xorl %ecx, %ecx
	ret

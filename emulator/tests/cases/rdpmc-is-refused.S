/* SPDX-License-Identifier: GPL-2.0-only */
/* RDPMC raises #GP(0) in deprivileged mode, whatever CR4.PCE says. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_UD, (GATE_PRIV|1)
	PRIVILEGED(VEC_UD, rdpmc)
	ret

	.globl before_each
before_each:
	xorl %ecx, %ecx
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/* SYSEXIT raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_UD, (GATE_PRIV|1)
	PRIVILEGED(VEC_UD, sysexitl)
	PRIVILEGED(VEC_UD, sysexitq)
	ret

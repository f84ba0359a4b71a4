/* SPDX-License-Identifier: GPL-2.0-only */
/* RSM raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_UD, (GATE_PRIV|1)
	PRIVILEGED(VEC_UD, rsm)
	ret

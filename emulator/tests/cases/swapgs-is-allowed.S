/* SPDX-License-Identifier: GPL-2.0-only */
/* SWAPGS works in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	ALLOWED(swapgs)
	ret

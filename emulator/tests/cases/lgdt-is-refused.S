/* SPDX-License-Identifier: GPL-2.0-only */
/* LGDT raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	sgdt saved
	PRIVILEGED(NO_EVENT, lgdt saved)
	ret

	.data
saved: .fill 10, 1, 0

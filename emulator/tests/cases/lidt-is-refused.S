/* SPDX-License-Identifier: GPL-2.0-only */
/* LIDT raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	sidt saved
	PRIVILEGED(NO_EVENT, lidt saved)
	ret

	.data
saved: .fill 10, 1, 0

/* SPDX-License-Identifier: GPL-2.0-only */
/* CLTS raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, clts)
	ret

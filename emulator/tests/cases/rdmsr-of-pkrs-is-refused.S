/* SPDX-License-Identifier: GPL-2.0-only */
/* RDMSR of PKRS raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, rdmsr)
	ret

	.globl before_each
before_each:
	movl $MSR_PKRS, %ecx
	ret

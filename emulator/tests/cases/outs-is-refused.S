/* SPDX-License-Identifier: GPL-2.0-only */
/* OUTS raises #GP(0) in deprivileged mode. A repeated one too. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, outsb)
	PRIVILEGED(NO_EVENT, outsw)
	PRIVILEGED(NO_EVENT, outsl)
	PRIVILEGED(NO_EVENT, rep outsb)
	ret

	.globl before_each
before_each:
	movl $0x80, %edx
	movl $test_page, %esi
	movl $1, %ecx
	ret

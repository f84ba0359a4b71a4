/* SPDX-License-Identifier: GPL-2.0-only */
/* INS raises #GP(0) in deprivileged mode. A repeated one too. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, insb)
	PRIVILEGED(NO_EVENT, insw)
	PRIVILEGED(NO_EVENT, insl)
	PRIVILEGED(NO_EVENT, rep insb)
	ret

	.globl before_each
before_each:
	movl $0x80, %edx
	movl $test_page, %edi
	movl $1, %ecx
	ret

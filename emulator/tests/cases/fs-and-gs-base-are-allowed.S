/* SPDX-License-Identifier: GPL-2.0-only */
/* RDFSBASE, WRFSBASE, RDGSBASE and WRGSBASE work in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	ALLOWED(rdfsbase %rbx)
	ALLOWED(wrfsbase %rbx)
	ALLOWED(rdgsbase %rbx)
	ALLOWED(wrgsbase %rbx)
	ret

	.globl before_each
before_each:
	xorl %ebx, %ebx
	ret

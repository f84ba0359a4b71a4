/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * XSAVE, XSAVEOPT, XRSTOR, XGETBV, FXSAVE and FXRSTOR work in deprivileged
 * mode.
 */
#include "test.h"

	.globl test_main
test_main:
	ALLOWED(xsave test_page)
	ALLOWED(xsaveopt test_page)
	ALLOWED(xrstor test_page)
	ALLOWED(xgetbv)
	ALLOWED(fxsave test_page)
	ALLOWED(fxrstor test_page)
	ret

	.globl before_each
before_each:
	movl $3, %eax
	xorl %edx, %edx
	xorl %ecx, %ecx
	ret

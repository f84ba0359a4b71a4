/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * LAR, LSL, VERR, VERW, STR, SLDT, SGDT, SIDT and SMSW work in deprivileged
 * mode.
 */
#include "test.h"

	.globl test_main
test_main:
	ALLOWED(lar %cx, %rbx)
	ALLOWED(lsl %cx, %rbx)
	ALLOWED(verr %cx)
	ALLOWED(verw %cx)
	ALLOWED(strw test_page)
	ALLOWED(sldtw test_page)
	ALLOWED(sgdt test_page)
	ALLOWED(sidt test_page)
	ALLOWED(smsw %bx)
	ret

	.globl before_each
before_each:
	movl $SEL_KDATA, %ecx
	ret

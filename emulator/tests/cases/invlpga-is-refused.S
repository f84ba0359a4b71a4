/* SPDX-License-Identifier: GPL-2.0-only */
/* INVLPGA raises #GP(0) in deprivileged mode, with EFER.SVME. */
#include "test.h"

	.globl test_main
test_main:
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x1000, %eax
	wrmsr
	movl $test_page, %eax
	vmsave
	PRIVILEGED(NO_EVENT, invlpga)
	ret

	.globl before_each
before_each:
	movl $test_page, %eax
	xorl %ecx, %ecx
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUID, RDTSC, RDTSCP and RDPID work in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	ALLOWED(cpuid)
	ALLOWED(rdtsc)
	ALLOWED(rdtscp)
	ALLOWED(rdpid %rbx)
	ret

	.globl before_each
before_each:
	xorl %eax, %eax
	xorl %ecx, %ecx
	ret

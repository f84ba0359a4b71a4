/* SPDX-License-Identifier: GPL-2.0-only */
/* CKI_CTL starts as 0, reads as written, and has no bit but EN. */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_GP, (GATE_PRIV|1)
	movl $MSR_CKI_CTL, %ecx
	rdmsr
	CHECK_REG(%rax, 0)
	CHECK_REG(%rdx, 0)
	cki_on
	movl $MSR_CKI_CTL, %ecx
	rdmsr
	CHECK_REG(%rax, CKI_CTL_EN)
	CHECK_REG(%rdx, 0)
	movl $2, %eax
	catch wrmsr
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	movl $1, %eax
	movl $1, %edx
	catch wrmsr
	CHECK(ev_vector, VEC_GP)
	rdmsr
	CHECK_REG(%rax, CKI_CTL_EN)
	CHECK_REG(%rdx, 0)
	cki_off
	movl $MSR_CKI_CTL, %ecx
	rdmsr
	CHECK_REG(%rax, 0)
# leaves beside the two are not ours
	movl $(CPUID_CKI+2), %eax
	xorl %ecx, %ecx
	cpuid
	cmpl $CKI_CPUID_VENDOR_EBX, %ebx
	jne 1f
	FAIL
1: ret

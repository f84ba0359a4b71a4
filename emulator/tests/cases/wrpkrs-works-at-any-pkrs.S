/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * WRPKRS is a gate: it is allowed in deprivileged mode, takes EAX, ignores
 * the upper half of RAX and leaves all other registers and the flags alone.
 * RDPKRS reads EAX and clears the upper half.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
	movabsq $0x1234567800000000, %rax
	movl $7, %ecx
	movl $9, %edx
	stc
	catch wrpkrs
	jc 1f
	FAIL
1: CHECK(ev_vector, NO_EVENT)
	CHECK_REG(%rcx, 7)
	CHECK_REG(%rdx, 9)
	movq $-1, %rax
	rdpkrs
	CHECK_REG(%rax, 0)
	CHECK_REG(%rdx, 9)
	movabsq $0x12345678fffffff0, %rax
	wrpkrs
	movq $-1, %rax
	rdpkrs
	CHECK_REG(%rax, 0xfffffff0)
	movl $MSR_PKRS, %ecx
	set_pkrs 0
	movl $MSR_PKRS, %ecx
	rdmsr
	CHECK_REG(%rax, 0)
	ret

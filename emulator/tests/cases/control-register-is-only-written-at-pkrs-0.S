/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writing CKI_CTL raises #GP(0) while PKRS is not 0, with the extension on
 * and off.
 */
#include "test.h"

	.globl test_main
test_main:
	set_msr MSR_PKRS, KEY_AD(4)
	movl $MSR_CKI_CTL, %ecx
	movl $CKI_CTL_EN, %eax
	xorl %edx, %edx
	catch wrmsr
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	rdmsr
	CHECK_REG(%rax, 0)
# writing the value that it has is refused, too
	catch wrmsr
	CHECK(ev_vector, VEC_GP)
	set_msr MSR_PKRS, 0
	cki_on
	set_pkrs PKRS_GUEST
	movl $MSR_CKI_CTL, %ecx
	xorl %eax, %eax
	xorl %edx, %edx
	catch wrmsr
	CHECK_REFUSED
	set_pkrs 0
	movl $MSR_CKI_CTL, %ecx
	rdmsr
	CHECK_REG(%rax, CKI_CTL_EN)
	ret

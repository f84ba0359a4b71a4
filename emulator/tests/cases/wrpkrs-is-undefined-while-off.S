/* SPDX-License-Identifier: GPL-2.0-only */
/* WRPKRS and RDPKRS are #UD while EN is 0. */
#include "test.h"

	.globl test_main
test_main:
	catch wrpkrs
	CHECK(ev_vector, VEC_UD)
	catch rdpkrs
	CHECK(ev_vector, VEC_UD)
	set_msr MSR_PKRS, KEY_AD(4)
	xorl %eax, %eax
	catch wrpkrs
	CHECK(ev_vector, VEC_UD)
	movl $MSR_PKRS, %ecx
	rdmsr
	CHECK_REG(%rax, KEY_AD(4))
	ret

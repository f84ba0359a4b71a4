/* SPDX-License-Identifier: GPL-2.0-only */
/* LTR raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:

	cki_on
	movl $SEL_TSS2, %ecx
	catch ltr %cx
	CHECK(ev_vector, NO_EVENT)
	set_pkrs PKRS_GUEST
	movl $SEL_TSS, %ecx
	catch ltr %cx
	CHECK_REFUSED
	xorl %ecx, %ecx
	catch ltr %cx
	CHECK_REFUSED
	set_pkrs 0
	cki_off
# the busy bit of SEL_TSS, cleared by hand, comes back
	set_msr MSR_PKRS, KEY_AD(4)
	andb $0xfd, rt_gdt + SEL_TSS + 5
	movl $SEL_TSS, %ecx
	catch ltr %cx
	CHECK(ev_vector, NO_EVENT)
	CHECK_MASKED(rt_gdt + SEL_TSS, 0x0000020000000000, 0x0000020000000000)
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * INVLPG and a CR3 load drop translations used at PKRS = 0 and at PKRS != 0,
 * whichever side they run on.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movq $0xaaaa, test_page
	movq $0xbbbb, test_page2
	movl $test_page, %r12d
	shrl $12, %r12d
	movq rt_pt(, %r12, 8), %r13
	movq rt_pt+8(, %r12, 8), %r14
# used on both sides
	movq test_page, %rax
	set_pkrs PKRS_GUEST
	movq test_page, %rax
# change the mapping at PKRS = 0, drop it there
	set_pkrs 0
	movq %r14, rt_pt(, %r12, 8)
	invlpg test_page
	CHECK(test_page, 0xbbbb)
	set_pkrs PKRS_GUEST
	CHECK(test_page, 0xbbbb)
# change it back and drop it in deprivileged mode
	movq %r13, rt_pt(, %r12, 8)
	invlpg test_page
	CHECK(test_page, 0xaaaa)
	set_pkrs 0
	CHECK(test_page, 0xaaaa)
	movq %r14, rt_pt(, %r12, 8)
	movq %cr3, %rax
	movq %rax, %cr3
	set_pkrs PKRS_GUEST
	CHECK(test_page, 0xbbbb)
	set_pkrs 0
	CHECK(test_page, 0xbbbb)
	ret

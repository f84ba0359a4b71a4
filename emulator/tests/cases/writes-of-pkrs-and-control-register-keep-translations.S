/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Neither WRPKRS nor WRMSR to PKRS while the extension is on nor a write of
 * CKI_CTL drops a translation of either side: one that was changed in memory
 * without an invalidation is still used. (A processor may drop it at any time;
 * the emulator does not, which is what makes gates and world switches cheap.)
 */
#include "test.h"

	.globl test_main
test_main:
	movq $0xaaaa, test_page
	movq $0xbbbb, test_page2
	movl $test_page, %r12d
	shrl $12, %r12d
	movq rt_pt+8(, %r12, 8), %r14
# used on both sides, then changed without an invalidation
	cki_on
	CHECK(test_page, 0xaaaa)
	set_pkrs PKRS_GUEST
	CHECK(test_page, 0xaaaa)
	set_pkrs 0
	movq %r14, rt_pt(, %r12, 8)
	movl $10, %r13d
1: CHECK(test_page, 0xaaaa)
	set_pkrs PKRS_GUEST
	CHECK(test_page, 0xaaaa)
	set_pkrs 0
	CHECK(test_page, 0xaaaa)
	set_msr MSR_PKRS, PKRS_GUEST
	CHECK(test_page, 0xaaaa)
	set_pkrs 0
	set_msr MSR_PKRS, 0
	CHECK(test_page, 0xaaaa)
	cki_off
	CHECK(test_page, 0xaaaa)
	set_msr MSR_CKI_CTL, 0
	set_msr MSR_PKRS, 0
	CHECK(test_page, 0xaaaa)
	cki_on
	CHECK(test_page, 0xaaaa)
	set_msr MSR_CKI_CTL, CKI_CTL_EN
	CHECK(test_page, 0xaaaa)
	set_pkrs PKRS_GUEST
	CHECK(test_page, 0xaaaa)
	set_pkrs 0
	decl %r13d
	jnz 1b
# the change is there behind an invalidation
	invlpg test_page
	CHECK(test_page, 0xbbbb)
	set_pkrs PKRS_GUEST
	CHECK(test_page, 0xbbbb)
	set_pkrs 0
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * While the extension is on G means nothing: a write of CR3 drops a translation
 * that was made with G, on both sides of PKRS, and one that was made with G
 * before EN was set.
 */
#include "test.h"

#define PTE_G	0x100

	.globl test_main
test_main:
	movq $0xaaaa, test_page
	movq $0xbbbb, test_page2
	movl $test_page, %r12d
	shrl $12, %r12d
	orq $PTE_G, rt_pt(, %r12, 8)
	orq $PTE_G, rt_pt+8(, %r12, 8)
	movq rt_pt(, %r12, 8), %r13
	movq rt_pt+8(, %r12, 8), %r14
	movq %cr4, %rax
	testl $0x80, %eax
	jnz 1f
	FAIL
1: movq %cr3, %rax
	movq %rax, %cr3
	CHECK(test_page, 0xaaaa)
# made with EN = 0
	movq %r14, rt_pt(, %r12, 8)
	cki_on
	movq %cr3, %rax
	movq %rax, %cr3
	CHECK(test_page, 0xbbbb)
	set_pkrs PKRS_GUEST
	CHECK(test_page, 0xbbbb)
# made with EN = 1, on both sides
	set_pkrs 0
	movq %r13, rt_pt(, %r12, 8)
	movq %cr3, %rax
	movq %rax, %cr3
	CHECK(test_page, 0xaaaa)
	set_pkrs PKRS_GUEST
	CHECK(test_page, 0xaaaa)
	set_pkrs 0
# none is left behind for EN = 0
	movq %r14, rt_pt(, %r12, 8)
	movq %cr3, %rax
	movq %rax, %cr3
	cki_off
	CHECK(test_page, 0xbbbb)
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A read-only page stays read-only on both sides of PKRS, and dirty and
 * accessed bits are set on both.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_PF, (GATE_PRIV|1)
	cki_on
	movl $test_page, %r12d
	shrl $12, %r12d
	.irp value, 0, PKRS_GUEST
	set_pkrs 0
	andq $~0x62, rt_pt(, %r12, 8)
	invlpg test_page
	set_pkrs \value
	catch movq test_page, %rbx
	CHECK(ev_vector, NO_EVENT)
	catch movq %rbx, test_page
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_W))
	movq rt_pt(, %r12, 8), %r13
	CHECK_MASKED(%r13, 0x60, 0x20)
	orq $2, rt_pt(, %r12, 8)
	invlpg test_page
	set_pkrs \value
	catch movq %rbx, test_page
	CHECK(ev_vector, NO_EVENT)
	movq rt_pt(, %r12, 8), %r13
	CHECK_MASKED(%r13, 0x60, 0x60)
	.endr
	ret

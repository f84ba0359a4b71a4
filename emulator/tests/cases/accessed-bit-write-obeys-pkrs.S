/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loading a segment whose accessed bit is clear writes the GDT with the
 * rights of the current PKRS.
 */
#include "test.h"

	.globl test_main
test_main:

	andb $0xfe, rt_gdt + SEL_UDATA + 5
	cki_on
	set_pkrs PKRS_GUEST
	movl $SEL_UDATA3, %ecx
	catch movw %cx, %ds
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_W|PF_PK))
	CHECK(ev_cr2, (rt_gdt+SEL_UDATA+4))
	set_pkrs 0
	catch movw %cx, %ds
	CHECK(ev_vector, NO_EVENT)
	set_pkrs PKRS_GUEST
	catch movw %cx, %es
	CHECK(ev_vector, NO_EVENT)
	ret

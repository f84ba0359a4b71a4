/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * LSL reads the limit of a descriptor with the rights of the current PKRS:
 * closed tables give a page fault, not a limit.
 */
#include "test.h"

	.globl test_main
test_main:

	cki_on
	movl $SEL_TSS, %ecx
	set_pkrs PKRS_GUEST
	catch lsl %cx, %rbx
	CHECK(ev_vector, NO_EVENT)
	CHECK_REG(%rbx, 0x67)
	set_pkrs PKRS_CLOSED
	catch lsl %cx, %rbx
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_PK))
	CHECK(ev_cr2, (rt_gdt+SEL_TSS))
	ret

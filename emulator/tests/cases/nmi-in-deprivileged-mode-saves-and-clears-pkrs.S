/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * NMIs stay blocked in the handler of an NMI until IRETQ; the second NMI
 * then arrives in deprivileged mode, with IF = 0, and saves and clears PKRS.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movq $first, ev_hook
	catch call raise
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_count, 2)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_frame, (ist1_top-40))
	ret

raise:
	movl $0x400, %eax
	call rt_self

spin:
	pause
	jmp spin

# in the handler of the first NMI: another one has to wait
first:
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_cs, SEL_KCODE)
	movl $0x400, %eax
	call rt_self
	movl $1000, %ecx
1: pause
	loop 1b
	CHECK(ev_count, 1)
	iretq_to spin, SEL_KCODE, 2, $guest_stack_top, SEL_KDATA, PKRS_GUEST

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events that were held arrive behind the WRMSR that clears EN, as on a stock
 * processor: without PKRS in the frame. The WRMSR that sets EN holds what is
 * pending from the next instruction on.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	raise VEC_IRQ
	sti
	wait_a_while
	CHECK(ev_count, 0)
	catch call leave
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, left)
	CHECK(ev_cs, SEL_KCODE)
	call rt_eoi
# an NMI that comes while NMIs are blocked is pending when EN is set
	movq $nmi, ev_hook
	catch call raise_nmi
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, left)
	CHECK(ev_cs, SEL_KCODE)
	CHECK(ev_count, 3)
	ret

leave:
	movl $0, rt_cki
	set_msr MSR_CKI_CTL, 0
left:
	FAIL

raise_nmi:
	raise SEND_NMI
1: jmp 1b

nmi:
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_count, 2)
	raise SEND_NMI
	cki_on
	iretq_to unblocked, SEL_KCODE, 2, $guest_stack_top, SEL_KDATA, 0
unblocked:
	wait_a_while
	CHECK(ev_count, 2)
	jmp leave

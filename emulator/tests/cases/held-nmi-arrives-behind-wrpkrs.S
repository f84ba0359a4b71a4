/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An NMI that was held arrives in front of the first instruction behind the
 * WRPKRS that ends the holding, with IF = 0.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movl $100, %r12d
1: raise SEND_NMI
	wait_a_while
	CHECK(ev_count, 0)
	movq $unblock, ev_hook
	catch call leave
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_pkrs, 0)
	CHECK(ev_frame, (ist1_top-40))
	CHECK_MASKED(ev_rflags, RFLAGS_IF, 0)
	movq $0, ev_count
	decl %r12d
	jnz 1b
	ret

leave:
	set_pkrs PKRS_GUEST
left:
	FAIL

# IRETQ ends the blocking of NMIs
unblock:
	iretq_to unblocked, SEL_KCODE, 2, $guest_stack_top, SEL_KDATA, 0
unblocked:
	movq try_rsp, %rsp
	jmpq *try_rip

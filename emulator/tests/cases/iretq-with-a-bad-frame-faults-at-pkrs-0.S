/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRETQ whose frame is bad faults at PKRS = 0 and restores nothing: #GP
 * through a marked gate, else #DF.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_GP, (GATE_PRIV|2)
	cki_on
	catch iretq_to nowhere, 0x1000, 2, $guest_stack_top, SEL_KDATA, PKRS_GUEST
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0x1000)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, SEL_KCODE)
# a frame that cannot be read
	catch call unreadable
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, SEL_KCODE)
	gate VEC_GP, 0
	catch iretq_to nowhere, 0x1000, 2, $guest_stack_top, SEL_KDATA, PKRS_GUEST
	CHECK(ev_vector, VEC_DF)
# NT: a task return, which long mode does not have
	catch call nested
	CHECK(ev_vector, VEC_DF)
	CHECK(ev_pkrs, 0)
	ret

unreadable:
	movl $0x40000000, %esp
	iretq
nested:
	pushq $(RFLAGS_NT|2)
	popfq
	iretq_to nowhere, SEL_KCODE, 2, $guest_stack_top, SEL_KDATA, PKRS_GUEST
nowhere:
	FAIL

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A far CALL through a call gate, or to a TSS, raises #GP(0) in deprivileged
 * mode; one to a code segment does not.
 */
#include "test.h"

	.globl test_main
test_main:

	movl $gate_target, %eax
	movw %ax, rt_gdt + SEL_CALLGATE
	movw %ax, rt_gdt + SEL_UCALLGATE
	shrl $16, %eax
	movw %ax, rt_gdt + SEL_CALLGATE + 6
	movw %ax, rt_gdt + SEL_UCALLGATE + 6

	cki_on
	catch lcall *to_gate
	CHECK(ev_vector, NO_EVENT)
	set_pkrs PKRS_GUEST
	catch lcall *to_gate
	CHECK_REFUSED
	catch lcall *to_tss
	CHECK_REFUSED
	catch lcall *to_code
	CHECK(ev_vector, NO_EVENT)
	CHECK_PKRS(PKRS_GUEST)
	set_pkrs 0
	cki_off
	set_msr MSR_PKRS, PKRS_GUEST
	catch lcall *to_gate
	CHECK(ev_vector, NO_EVENT)
	catch lcall *to_tss
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, SEL_TSS2)
	ret

gate_target:
	movq try_rsp, %rsp
	jmpq *try_rip

	.data
to_gate: .long 0
	.word SEL_CALLGATE
to_tss: .long 0
	.word SEL_TSS2
to_code: .long gate_target
	.word SEL_KCODE

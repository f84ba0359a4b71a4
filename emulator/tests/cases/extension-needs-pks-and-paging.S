/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * EN is only set with CR4.PKS, and while it is set neither CR4.PKS nor
 * CR0.PG is cleared.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_GP, (GATE_PRIV|1)
	movq %cr4, %rax
	movq %rax, %r12
	btrq $24, %rax
	movq %rax, %cr4
	movl $MSR_CKI_CTL, %ecx
	movl $CKI_CTL_EN, %eax
	xorl %edx, %edx
	catch wrmsr
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	movq %r12, %cr4
	cki_on
	movq %r12, %rax
	btrq $24, %rax
	catch movq %rax, %cr4
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
	movq %cr0, %rax
	btrq $31, %rax
	catch movq %rax, %cr0
	CHECK(ev_vector, VEC_GP)
	CHECK(ev_error, 0)
# other bits are free
	movq %r12, %rax
	btrq $21, %rax
	catch movq %rax, %cr4
	CHECK(ev_vector, NO_EVENT)
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A container that does nothing but gate calls delays an event by one call at
 * most: what becomes pending inside of a call arrives behind the WRPKRS that
 * ends the same call, and what the timer raises at any time arrives.
 */
#include "test.h"

#define CALLS		1000
#define TIMER_LVT	0x832
#define TIMER_COUNT	0x838
#define TIMER_DIVIDE	0x83e

	.globl test_main
test_main:
	cki_on
	movq $in_call, ev_hook
	guest raising, PKRS_GUEST
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_count, (CALLS+1))
	set_pkrs 0
# from outside, and at any time
	set_msr TIMER_DIVIDE, 0xb
	set_msr TIMER_LVT, VEC_IRQ
	movl $200, %r12d
1: movl %r12d, %eax
	imull $997, %eax, %eax
	xorl %edx, %edx
	movl $TIMER_COUNT, %ecx
	wrmsr
	guest calling, PKRS_GUEST
	CHECK(ev_vector, VEC_IRQ)
	CHECK_MASKED(ev_cs, 0xffffffff00000000, 0xffffffec00000000)
	movq ev_rip, %rax
	subq $gate, %rax
	cmpq $(gate_end-gate), %rax
	jae 2f
	FAIL
2: call rt_eoi
	decl %r12d
	jnz 1b
	ret

# every call makes an interrupt pending
raising:
	movl $CALLS, %r12d
1: xorl %eax, %eax
	wrpkrs
	raise VEC_IRQ
	incl calls
	set_pkrs PKRS_GUEST
raised:
	decl %r12d
	jnz 1b
	ud2

in_call:
	movq %rax, %r8
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, raised)
	movl calls, %eax
	cmpq %rax, ev_count
	je 1f
	FAIL
1: call rt_eoi
	cmpl $CALLS, calls
	je 2f
	movq $in_call, ev_hook
2: movq %r8, %rax
	iretq

calling:
	xorl %eax, %eax
	wrpkrs
gate:
	incl calls
	movl $PKRS_GUEST, %eax
	wrpkrs
gate_end:
	jmp calling

	.data
calls: .long 0

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A handler that returns with IRETQ leaves the interrupted container with
 * its PKRS, registers and flags.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movl $VEC_IRQ, %eax
	call rt_self
	movq $handler, ev_hook
	guest interrupted, PKRS_GUEST
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_count, 2)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK(ev_rax, 0x1)
	CHECK_MASKED(ev_rflags, RFLAGS_IF, RFLAGS_IF)
	ret

interrupted:
	xorl %eax, %eax
1: cmpl $0, done
	je 1b
	movl $1, %eax
	ud2

handler:
	movl $1, done
	call rt_eoi
	iretq

	.data
done: .long 0

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * POPF in deprivileged mode changes neither IF nor IOPL, in either
 * direction, and does not fault; at PKRS = 0 it does change them.
 */
#include "test.h"

	.globl test_main
test_main:

	cki_on
	set_pkrs PKRS_GUEST
# IF is 0 here
	pushq $(RFLAGS_IF|RFLAGS_IOPL|RFLAGS_AC|2)
	catch popfq
	CHECK(ev_vector, NO_EVENT)
	pushfq
	CHECK_MASKED((%rsp), (RFLAGS_IF|RFLAGS_IOPL|RFLAGS_AC), RFLAGS_AC)
	popq %rax
	pushw $(RFLAGS_IF|RFLAGS_IOPL|2)
	catch popfw
	CHECK(ev_vector, NO_EVENT)
	pushfq
	CHECK_MASKED((%rsp), (RFLAGS_IF|RFLAGS_IOPL), 0)
	popq %rax
	set_pkrs 0
# IF = 1 and IOPL = 3 stay, too
	guest keep, PKRS_GUEST, 0x3202
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_rip, kept)
	CHECK_MASKED(ev_rflags, (RFLAGS_IF|RFLAGS_IOPL), (RFLAGS_IF|RFLAGS_IOPL))
	set_pkrs 0
	pushq $(RFLAGS_IOPL|2)
	popfq
	pushfq
	CHECK_MASKED((%rsp), (RFLAGS_IF|RFLAGS_IOPL), RFLAGS_IOPL)
	popq %rax
	ret

keep:
	pushq $2
	popfq
	pushw $2
	popfw
kept:
	ud2

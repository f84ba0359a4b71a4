/* SPDX-License-Identifier: GPL-2.0-only */
/* An IRET that deprivileged mode refuses does not end the blocking of NMIs. */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	movq $first, ev_hook
	catch call raise
	CHECK(ev_vector, NO_EVENT)
	ret

raise:
	movl $0x400, %eax
	call rt_self

spin:
	pause
	jmp spin

first:
	movq $guest_stack_top, %rsp
	movl $0x400, %eax
	call rt_self
	set_pkrs PKRS_GUEST
	catch iretq
	CHECK_REFUSED
	movl $1000, %ecx
1: pause
	loop 1b
	CHECK(ev_count, 2)
# the one that waited arrives behind an IRETQ that is done
	set_pkrs 0
	catch iretq_to spin, SEL_KCODE, 2, $guest_stack_top, SEL_KDATA, PKRS_GUEST
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_count, 3)
	movq $rt_stack_top-8, %rsp
	ret

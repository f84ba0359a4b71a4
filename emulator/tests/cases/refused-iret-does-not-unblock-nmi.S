/* SPDX-License-Identifier: GPL-2.0-only */
/* An IRET that deprivileged mode refuses does not end the blocking of NMIs. */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	raise SEND_NMI
	movq $first, ev_hook
	guest spin, PKRS_GUEST, 2
	CHECK(ev_vector, NO_EVENT)
	ret

spin:
	pause
	jmp spin

first:
	movq $guest_stack_top, %rsp
	raise SEND_NMI
	set_pkrs PKRS_GUEST
	pushq $SEL_KCODE
	pushq $spin
	catch iretq
	CHECK_REFUSED
	catch iretl
	CHECK_REFUSED
	wait_a_while
	CHECK(ev_count, 3)
# the one that waited arrives behind an IRETQ that is done
	set_pkrs 0
	catch iretq_to spin, SEL_KCODE, 2, $guest_stack_top, SEL_KDATA, PKRS_GUEST
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_count, 4)
	movq $rt_stack_top-8, %rsp
	ret

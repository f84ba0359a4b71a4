/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRET of all three sizes raises #GP(0) in deprivileged mode, before the
 * frame is looked at.
 */
#include "test.h"

	.globl test_main
test_main:

# a stub below 64 KiB for the 16-bit IRET
	movl $0x2524ff, 0x7000
	movl $try_rip, 0x7003
	movq %rsp, %r13
	cki_on
	movl $frame64, %esp
	catch iretq
	CHECK(ev_vector, NO_EVENT)
	movl $frame32, %esp
	catch iretl
	CHECK(ev_vector, NO_EVENT)
	movl $frame16, %esp
	catch iretw
	CHECK(ev_vector, NO_EVENT)
	movq %r13, %rsp
	set_pkrs PKRS_GUEST
	movl $frame64, %esp
	catch iretq
	CHECK_REFUSED
	movl $frame32, %esp
	catch iretl
	CHECK_REFUSED
	movl $frame16, %esp
	catch iretw
	CHECK_REFUSED
# refused with a frame that cannot be read, too
	movq %r13, %rsp
	set_pkrs 0
	cki_off
	set_msr MSR_PKRS, PKRS_GUEST
	movl $frame64, %esp
	catch iretq
	CHECK(ev_vector, NO_EVENT)
	movq %r13, %rsp
	ret

landed:
	movq try_rsp, %rsp
	jmpq *try_rip

	.data
	.balign 8
# room for the handlers' frames
	.fill 512, 1, 0
frame64:
	.quad landed, SEL_KCODE, 2, guest_stack_top, SEL_KDATA
	.fill 512, 1, 0
frame32:
	.long landed, SEL_KCODE, 2, guest_stack_top, SEL_KDATA
	.fill 512, 1, 0
frame16:
	.word 0x7000, SEL_KCODE, 2, 0x6000, SEL_KDATA

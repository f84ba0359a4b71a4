/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An NMI and an external interrupt that are held when the machine migrates are
 * held on the other side, too, and arrive behind the WRPKRS there. After READY the
 * harness waits for r15 to say that the image spins, and migrates it; a machine
 * check then tells it to go on.
 */
#include "test.h"

#define MSR_MCG_STATUS	0x17a
#define MCIP		2

	.globl test_main
test_main:
	cki_on
	raise VEC_IRQ
	raise SEND_NMI
	sti
	movq $ready, %rsi
	call rt_puts
	movabsq $0x5350494e4e494e47, %r15	/* SPINNING */
1: pause
	movl $MSR_MCG_STATUS, %ecx
	rdmsr
	testl $(1<<MCIP), %eax
	jz 1b
	CHECK_PKRS(0)
	wait_a_while
	CHECK(ev_count, 0)
	movq $first, ev_hook
	catch call leave
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_count, 3)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	ret

leave:
	set_pkrs PKRS_GUEST
left:
	FAIL

first:
	CHECK(ev_vector, VEC_NMI)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	movq $second, ev_hook
	iretq

second:
	CHECK(ev_vector, VEC_MC)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	iretq

	.data
ready: .asciz "READY\n"

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine check that was held arrives in front of the first instruction
 * behind the WRPKRS that ends the holding. After READY the harness waits for
 * r15 to say that the image spins, at PKRS = 0, and injects it then.
 */
#include "test.h"

#define MSR_MCG_STATUS	0x17a
#define MCIP		2

	.globl test_main
test_main:
	cki_on
	movq $ready, %rsi
	call rt_puts
	movabsq $0x5350494e4e494e47, %r15	/* SPINNING */
1: pause
	movl $MSR_MCG_STATUS, %ecx
	rdmsr
	testl $(1<<MCIP), %eax
	jz 1b
	sti
	wait_a_while
	CHECK(ev_count, 0)
	catch call leave
	CHECK(ev_vector, VEC_MC)
	CHECK(ev_rip, left)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_pkrs, 0)
	CHECK(ev_frame, (ist1_top-40))
	ret

leave:
	set_pkrs PKRS_GUEST
left:
	FAIL

	.data
ready: .asciz "READY\n"

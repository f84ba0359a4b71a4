/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine check in deprivileged mode saves and clears PKRS, also through a
 * gate that is not marked. After READY the harness waits for r15 to say that the
 * guest spins, and injects it then.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_MC, 1
	cki_on
	movq $ready, %rsi
	call rt_puts
	guest spin, PKRS_GUEST
	CHECK(ev_vector, VEC_MC)
	CHECK(ev_pkrs, 0)
	CHECK(ev_cs, 0xffffffec00000008)
	CHECK(ev_frame, (ist1_top-40))
	ret

spin:
	movabsq $0x5350494e4e494e47, %r15	/* SPINNING */
1:
	pause
	jmp 1b

	.data
ready: .asciz "READY\n"

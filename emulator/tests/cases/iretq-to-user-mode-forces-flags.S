/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRETQ in deprivileged mode sets IF, clears IOPL, VM and NT, and takes the
 * other flags from its frame. An interrupt that IF kept out arrives at once.
 */
#include "test.h"

#define RFLAGS_ID	(1<<21)
#define RFLAGS_VIF	(1<<19)
#define RFLAGS_VIP	(1<<20)
#define FORCED		(RFLAGS_IF|RFLAGS_IOPL|RFLAGS_VM|RFLAGS_NT|RFLAGS_VIF|RFLAGS_VIP)
/* CF, DF, AC, ID */
#define TAKEN		(RFLAGS_AC|RFLAGS_ID|0x401)

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
	catch iretq_to user_int, SEL_UCODE3, 2, $user_stack_top, SEL_UDATA3, 0
	CHECK(ev_vector, VEC_USER)
	CHECK_MASKED(ev_rflags, (FORCED|TAKEN), RFLAGS_IF)
	catch iretq_to user_int, SEL_UCODE3, (RFLAGS_IOPL|RFLAGS_VM|RFLAGS_NT|RFLAGS_VIF|RFLAGS_VIP|TAKEN|2), $user_stack_top, SEL_UDATA3, 0
	cld
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_pkrs, PKRS_GUEST)
	CHECK_MASKED(ev_rflags, (FORCED|TAKEN), (RFLAGS_IF|TAKEN))
	set_pkrs 0
	pushq $2
	popfq
	raise VEC_IRQ
	set_pkrs PKRS_GUEST
	wait_a_while
	CHECK(ev_count, 2)
	catch iretq_to user_int, SEL_UCODE3, 2, $user_stack_top, SEL_UDATA3, 0
	CHECK(ev_vector, VEC_IRQ)
	CHECK(ev_rip, user_int)
	CHECK(ev_cs, 0xffffffec0000002b)
	call rt_eoi
# at PKRS = 0 the frame decides, as ever
	gate VEC_USER, (GATE_PRIV|1)
	gate VEC_GP, (GATE_PRIV|1)
	user user_int, PKRS_GUEST, (RFLAGS_IOPL|RFLAGS_NT|2)
	CHECK(ev_vector, VEC_GP)
	CHECK_MASKED(ev_rflags, (RFLAGS_IF|RFLAGS_IOPL|RFLAGS_NT), (RFLAGS_IOPL|RFLAGS_NT))
	ret

	user_section
user_int:
	int $VEC_USER

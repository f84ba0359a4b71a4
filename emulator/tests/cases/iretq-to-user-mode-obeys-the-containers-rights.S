/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRETQ in deprivileged mode reads its frame and the descriptors with the
 * container's PKRS: what that closes is a page fault at the IRETQ, slot by
 * slot, and no way to read the monitor's memory.
 */
#include "test.h"

	.macro faults address, error, line
	check_equal ev_vector, VEC_PF, \line
	check_equal ev_error, \error, \line
	check_equal ev_cr2, \address, \line
	check_equal ev_pkrs, PKRS_GUEST, \line
	check_equal ev_cs, SEL_KCODE, \line
	check_equal ev_rip, try_iretq, \line
	.endm
#define FAULTS(address, error) faults address, error, __LINE__

	.globl test_main
test_main:
# page faults come on a stack of the container's
	movq $guest_stack_top, %rax
	movq %rax, rt_tss+0x2c
	gate VEC_PF, 2
	cki_on
# a frame in the monitor's memory that would be good
	movq $user_int, key1_word
	movq $SEL_UCODE3, key1_word+8
	movq $0x202, key1_word+16
	movq $user_stack_top, key1_word+24
	movq $SEL_UDATA3, key1_word+32
	set_pkrs PKRS_GUEST
	movq $key1_word, %r8
	catch call do_iretq
	FAULTS(key1_word, (PF_P|PF_PK))
	movq $0x40000000, %r8
	catch call do_iretq
	FAULTS(0x40000000, 0)
# a frame whose tail lies there: each slot in turn
	movl $test_page2, %ebx
	shrl $12, %ebx
	movabsq $PTE_KEY(1), %rax
	orq %rax, rt_pt(, %rbx, 8)
	invlpg test_page2
	movq $user_int, test_page2-8
	movq $(test_page2-8), %r8
	catch call do_iretq
	FAULTS(test_page2, (PF_P|PF_PK))
	movq $user_int, test_page2-16
	movq $SEL_UCODE3, test_page2-8
	movq $(test_page2-16), %r8
	catch call do_iretq
	FAULTS(test_page2, (PF_P|PF_PK))
	movq $user_int, test_page2-32
	movq $SEL_UCODE3, test_page2-24
	movq $0x202, test_page2-16
	movq $user_stack_top, test_page2-8
	movq $(test_page2-32), %r8
	catch call do_iretq
	FAULTS(test_page2, (PF_P|PF_PK))
# the same frame with rights
	set_pkrs PKRS_OTHER
	movq $key1_word, %r8
	catch call do_iretq
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_pkrs, PKRS_OTHER)
# the descriptor tables
	set_pkrs PKRS_CLOSED
	catch iretq_to user_int, SEL_UCODE3, 0x202, $user_stack_top, SEL_UDATA3, 0
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_PK))
	CHECK(ev_cr2, (rt_gdt+SEL_UCODE))
	CHECK(ev_pkrs, PKRS_CLOSED)
	CHECK(ev_cs, SEL_KCODE)
	ret

do_iretq:
	movq %r8, %rsp
try_iretq:
	iretq

	user_section
user_int:
	int $VEC_USER

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRETQ in deprivileged mode takes a code segment that has DPL 3 and is not
 * conforming, and a stack segment of DPL 3; others raise #GP or #NP with the
 * selector.
 */
#include "test.h"

#define SEL_CODE	0x78
#define SEL_DATA	0x80

	.macro refused vector, selector, line
	check_equal ev_vector, \vector, \line
	check_equal ev_error, \selector, \line
	check_equal ev_pkrs, PKRS_GUEST, \line
	check_equal ev_cs, SEL_KCODE, \line
	.endm
#define REFUSED(vector, selector) refused vector, selector, __LINE__

	.globl test_main
test_main:
	cki_on
# CS: ring 0, conforming of DPL 0 and 3, data, a TSS, not present, beyond the limit, null
	.irp descriptor, 0x00af9b000000ffff, 0x00af9f000000ffff, 0x00afff000000ffff, 0x00aff3000000ffff, 0x00cff3000000ffff, 0x0000e90000000067
	set_pkrs 0
	movabsq $\descriptor, %rax
	movq %rax, rt_gdt+SEL_CODE
	set_pkrs PKRS_GUEST
	catch iretq_to user_int, SEL_CODE+3, 0x202, $user_stack_top, SEL_UDATA3, 0
	REFUSED(VEC_GP, SEL_CODE)
	.endr
	set_pkrs 0
	movabsq $0x00af7b000000ffff, %rax
	movq %rax, rt_gdt+SEL_CODE
	set_pkrs PKRS_GUEST
	catch iretq_to user_int, SEL_CODE+3, 0x202, $user_stack_top, SEL_UDATA3, 0
	REFUSED(VEC_NP, SEL_CODE)
	catch iretq_to user_int, 0x1003, 0x202, $user_stack_top, SEL_UDATA3, 0
	REFUSED(VEC_GP, 0x1000)
	catch iretq_to user_int, 3, 0x202, $user_stack_top, SEL_UDATA3, 0
	REFUSED(VEC_GP, 0)
# SS: ring 0, RPL 0, read-only, code, null
	catch iretq_to user_int, SEL_UCODE3, 0x202, $user_stack_top, SEL_KDATA+3, 0
	REFUSED(VEC_GP, SEL_KDATA)
	catch iretq_to user_int, SEL_UCODE3, 0x202, $user_stack_top, SEL_KDATA, 0
	REFUSED(VEC_GP, SEL_KDATA)
	catch iretq_to user_int, SEL_UCODE3, 0x202, $user_stack_top, SEL_UDATA, 0
	REFUSED(VEC_GP, SEL_UDATA)
	catch iretq_to user_int, SEL_UCODE3, 0x202, $user_stack_top, SEL_UCODE3, 0
	REFUSED(VEC_GP, SEL_UCODE)
	catch iretq_to user_int, SEL_UCODE3, 0x202, $user_stack_top, 3, 0
	REFUSED(VEC_GP, 0)
	set_pkrs 0
	movabsq $0x00cff1000000ffff, %rax
	movq %rax, rt_gdt+SEL_DATA
	set_pkrs PKRS_GUEST
	catch iretq_to user_int, SEL_UCODE3, 0x202, $user_stack_top, SEL_DATA+3, 0
	REFUSED(VEC_GP, SEL_DATA)
# the same descriptor is taken when it is what it has to be
	set_pkrs 0
	movabsq $0x00affb000000ffff, %rax
	movq %rax, rt_gdt+SEL_CODE
	set_pkrs PKRS_GUEST
	catch iretq_to user_int, SEL_CODE+3, 0x202, $user_stack_top, SEL_UDATA3, 0
	CHECK(ev_vector, VEC_USER)
	CHECK(ev_cs, (SEL_CODE+3))
# with NT there is no IRET in long mode
	catch call nested
	REFUSED(VEC_GP, 0)
	ret

nested:
	pushq $(RFLAGS_NT|2)
	popfq
	iretq_to user_int, SEL_UCODE3, 0x202, $user_stack_top, SEL_UDATA3, 0

	user_section
user_int:
	int $VEC_USER

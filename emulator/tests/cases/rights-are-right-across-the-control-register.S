/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rights follow PKRS through every order of writes to it and to CKI_CTL, also
 * for a page that was just used with others.
 */
#include "test.h"

	.macro rights read, write, line
	catch movq key1_word, %rbx
	check_equal ev_vector, \read, \line
	catch movq $0x1111, key1_word
	check_equal ev_vector, \write, \line
	.endm
#define RIGHTS(read, write) rights read, write, __LINE__

	.globl test_main
test_main:
	movl $10, %r12d
1: RIGHTS(NO_EVENT, NO_EVENT)
	set_msr MSR_PKRS, PKRS_GUEST
	RIGHTS(VEC_PF, VEC_PF)
	set_msr MSR_PKRS, PKRS_OTHER
	RIGHTS(NO_EVENT, VEC_PF)
	set_msr MSR_PKRS, 0
	cki_on
	RIGHTS(NO_EVENT, NO_EVENT)
	set_pkrs PKRS_GUEST
	RIGHTS(VEC_PF, VEC_PF)
	set_pkrs 0
	set_msr MSR_PKRS, PKRS_OTHER
	RIGHTS(NO_EVENT, VEC_PF)
	set_pkrs 0
	cki_off
	RIGHTS(NO_EVENT, NO_EVENT)
	set_msr MSR_PKRS, PKRS_GUEST
	RIGHTS(VEC_PF, VEC_PF)
	set_msr MSR_PKRS, 0
	cki_on
	set_pkrs PKRS_OTHER
	RIGHTS(NO_EVENT, VEC_PF)
	set_pkrs 0
	RIGHTS(NO_EVENT, NO_EVENT)
	cki_off
	decl %r12d
	jnz 1b
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * WRMSR to PKRS has the effect of WRPKRS: the next instruction is
 * deprivileged, and no right that was cached under another value remains.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_OTHER
	movq key1_word, %rbx
	set_pkrs 0
	set_msr MSR_PKRS, PKRS_GUEST
	catch wrmsr
	CHECK_REFUSED
	catch movq key1_word, %rbx
	CHECK(ev_vector, VEC_PF)
	set_pkrs PKRS_OTHER
	catch movq key1_word, %rbx
	CHECK(ev_vector, NO_EVENT)
	set_pkrs 0
	set_msr MSR_PKRS, PKRS_OTHER
	catch movq key1_word, %rbx
	CHECK(ev_vector, NO_EVENT)
	set_pkrs PKRS_GUEST
	catch movq key1_word, %rbx
	CHECK(ev_vector, VEC_PF)
	ret

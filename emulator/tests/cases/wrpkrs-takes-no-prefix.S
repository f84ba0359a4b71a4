/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * WRPKRS and RDPKRS with any prefix are #UD: the four bytes are the only
 * form.  With VEX they are another opcode, which no list names.
 */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
# LOCK
	xorl %eax, %eax
	catch .byte 0xf0, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0xf0, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# operand size
	xorl %eax, %eax
	catch .byte 0x66, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x66, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# address size
	xorl %eax, %eax
	catch .byte 0x67, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x67, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# REPNE
	xorl %eax, %eax
	catch .byte 0xf2, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0xf2, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# REP
	xorl %eax, %eax
	catch .byte 0xf3, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0xf3, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# CS
	xorl %eax, %eax
	catch .byte 0x2e, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x2e, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# SS
	xorl %eax, %eax
	catch .byte 0x36, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x36, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# DS
	xorl %eax, %eax
	catch .byte 0x3e, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x3e, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# ES
	xorl %eax, %eax
	catch .byte 0x26, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x26, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# FS
	xorl %eax, %eax
	catch .byte 0x64, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x64, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# GS
	xorl %eax, %eax
	catch .byte 0x65, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x65, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# REX
	xorl %eax, %eax
	catch .byte 0x40, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x40, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# REX.W
	xorl %eax, %eax
	catch .byte 0x48, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x48, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# REX.B
	xorl %eax, %eax
	catch .byte 0x41, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x41, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# REX.WRXB
	xorl %eax, %eax
	catch .byte 0x4f, 0x0f, 0x38, 0x6b, 0xda
	CHECK(ev_vector, VEC_UD)
	CHECK_PKRS(PKRS_GUEST)
	catch .byte 0x4f, 0x0f, 0x38, 0x6b, 0xd2
	CHECK(ev_vector, VEC_UD)
# VEX: map 2 without and with a prefix
	xorl %eax, %eax
	catch .byte 0xc4, 0xe2, 0x78, 0x6b, 0xda
	CHECK_REFUSED
	catch .byte 0xc4, 0xe2, 0x79, 0x6b, 0xda
	CHECK_REFUSED
	CHECK_PKRS(PKRS_GUEST)
	ret

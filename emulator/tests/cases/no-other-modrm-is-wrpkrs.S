/* SPDX-License-Identifier: GPL-2.0-only */
/* All ModRM bytes but two are #UD behind 0F 38 6B. */
#include "test.h"

	.globl test_main
test_main:
	cki_on
	set_pkrs PKRS_GUEST
	xorl %ebx, %ebx
1: cmpb $0xda, %bl
	je 2f
	cmpb $0xd2, %bl
	je 2f
# the code page is readable and writable here
	movb %bl, patched + 3
	xorl %eax, %eax
	catch call patched
	CHECK(ev_vector, VEC_UD)
	CHECK(ev_rip, patched)
	CHECK_PKRS(PKRS_GUEST)
2: incb %bl
	jnz 1b
	ret

patched:
	.byte 0x0f, 0x38, 0x6b, 0xda, 0, 0, 0, 0, 0, 0, 0
	ret

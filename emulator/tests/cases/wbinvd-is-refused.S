/* SPDX-License-Identifier: GPL-2.0-only */
/* WBINVD and WBNOINVD raise #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, wbinvd)
	PRIVILEGED(NO_EVENT, .byte 0xf3, 0x0f, 0x09)
	ret

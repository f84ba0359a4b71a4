/* SPDX-License-Identifier: GPL-2.0-only */
/* INVLPG works in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	ALLOWED(invlpg test_page)
	ALLOWED(invlpg key1_word)
	ret

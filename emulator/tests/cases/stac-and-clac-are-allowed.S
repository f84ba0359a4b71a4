/* SPDX-License-Identifier: GPL-2.0-only */
/* STAC and CLAC work in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	ALLOWED(stac)
	ALLOWED(clac)
	ret

/* SPDX-License-Identifier: GPL-2.0-only */
/* MOV from a debug register raises #GP(0) in deprivileged mode. */
#include "test.h"

	.globl test_main
test_main:
	PRIVILEGED(NO_EVENT, movq %dr0, %rax)
	PRIVILEGED(NO_EVENT, movq %dr3, %rax)
	PRIVILEGED(NO_EVENT, movq %dr6, %rax)
	PRIVILEGED(NO_EVENT, movq %dr7, %rax)
	ret

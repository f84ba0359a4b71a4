/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMX instructions raise #GP(0) in deprivileged mode, also on a processor
 * without VMX.
 */
#include "test.h"

	.globl test_main
test_main:
	gate VEC_UD, (GATE_PRIV|1)
	PRIVILEGED(VEC_UD, vmcall)
	PRIVILEGED(VEC_UD, vmlaunch)
	PRIVILEGED(VEC_UD, vmresume)
	PRIVILEGED(VEC_UD, vmxoff)
	PRIVILEGED(VEC_UD, vmfunc)
	PRIVILEGED(VEC_UD, vmptrld (%rax))
	PRIVILEGED(VEC_UD, vmclear (%rax))
	PRIVILEGED(VEC_UD, vmxon (%rax))
	PRIVILEGED(VEC_UD, vmptrst (%rax))
	PRIVILEGED(VEC_UD, vmread %rax, %rcx)
	PRIVILEGED(VEC_UD, vmwrite %rax, %rcx)
	PRIVILEGED(VEC_UD, invept (%rax), %rcx)
	PRIVILEGED(VEC_UD, invvpid (%rax), %rcx)
	ret

	.globl before_each
before_each:
	movl $test_page, %eax
	xorl %ecx, %ecx
	ret

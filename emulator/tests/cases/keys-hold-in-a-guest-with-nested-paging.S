/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * With nested paging, too, VMRUN loads the rights that PKRS gives: what a guest's
 * PKRS closes is closed there, WRPKRS opens it, and the host finds its own
 * translations afterwards.
 */
#include "svm.h"

#define VMCB_NESTED_CTL	0x090
#define VMCB_NESTED_CR3	0x0b0
#define VMCB_PAT	0x668

	.globl test_main
test_main:
	gate VEC_PF, (GATE_PRIV|1)
	movl $(npt_pdpt + 7), %eax
	movq %rax, npt_pml4
	movl $(npt_pd + 7), %eax
	movq %rax, npt_pdpt
# 4 MiB of user pages, as nested tables have them
	movq $0x0000e7, npt_pd
	movq $0x2000e7, npt_pd + 8

	svm_prepare reads, PKRS_GUEST
	vmcb VMCB_NESTED_CTL, 1
	vmcb VMCB_NESTED_CR3, npt_pml4
	vmcb VMCB_PAT, 0x0007040600070406
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_error, (PF_P|PF_PK))
	CHECK(ev_rip, reads_insn)
	CHECK(ev_cr2, key1_word)
	CHECK_REG(%r12, 0x1111)
# and without it
	svm_prepare reads, PKRS_GUEST
	xorl %r12d, %r12d
	enter
	CHECK_EXIT(EXIT_VMMCALL)
	CHECK(ev_vector, VEC_PF)
	CHECK(ev_rip, reads_insn)
	CHECK_REG(%r12, 0x1111)
	movq key1_word, %rax
	CHECK_REG(%rax, 0x1111)
	ret

reads:
	movq $back, try_rip
	movq %rsp, try_rsp
	movq $NO_EVENT, ev_vector
	xorl %r12d, %r12d
reads_insn:
	movq key1_word, %r12
	FAIL
# the handler left it at PKRS = 0
back:
	testq %r12, %r12
	jnz 1f
	movq key1_word, %r12
	set_pkrs PKRS_GUEST
	set_pkrs 0
	vmmcall
1:	FAIL

	.bss
	.balign 4096
npt_pml4:	.fill 4096, 1, 0
npt_pdpt:	.fill 4096, 1, 0
npt_pd:		.fill 4096, 1, 0

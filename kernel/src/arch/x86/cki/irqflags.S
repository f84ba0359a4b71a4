/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interrupt flag of a CKI guest: a byte in struct cki_vcpu_info, since the
 * physical one is always 1.
 */
#include <linux/linkage.h>
#include <asm/asm-offsets.h>
#include <asm/frame.h>
#include <asm/percpu.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>
#include <cki/abi.h>

#include "../entry/calling.h"
#include "vcpu_info.h"


	.code64
	.section .entry.text, "ax"

/*
 * Interrupts have just been enabled with events pending: the return address
 * becomes the interrupted instruction.
 */
SYM_CODE_START(cki_pending_event)
	UNWIND_HINT_UNDEFINED
	ANNOTATE_NOENDBR
	movb	$0, INFO(INTERRUPT_FLAG)
	movq	%rax, PER_CPU_VAR(cki_scratch)
	movq	%rsp, %rax
	andq	$-16, %rsp
	pushq	$__KERNEL_DS
	pushq	%rax
	addq	$8, (%rsp)	/* RSP after the return */
	pushfq			/* the IF in it is 1 */
	pushq	$__KERNEL_CS
	pushq	(%rax)
	pushq	$-1
	movq	PER_CPU_VAR(cki_scratch), %rax
	PUSH_AND_CLEAR_REGS
	ENCODE_FRAME_POINTER
	movq	%rsp, %rdi
	call	sysvec_cki_event
	jmp	cki_error_return
SYM_CODE_END(cki_pending_event)

/* pv_ops.irq: no register but RAX changes (save_fl), or none. */
	.section .noinstr.text, "ax"

SYM_FUNC_START(cki_save_fl)
	ENDBR
	xorl	%eax, %eax
	cmpb	$0, INFO(INTERRUPT_FLAG)
	setne	%ah
	addb	%ah, %ah	/* bit 9, X86_EFLAGS_IF */
	RET
SYM_FUNC_END(cki_save_fl)

SYM_FUNC_START(cki_irq_disable)
	ENDBR
	movb	$0, INFO(INTERRUPT_FLAG)
	RET
SYM_FUNC_END(cki_irq_disable)

SYM_FUNC_START(cki_irq_enable)
	ENDBR
	movb	$1, INFO(INTERRUPT_FLAG)
	cmpq	$0, INFO(EVENTS)
	jne	cki_pending_event
	RET
SYM_FUNC_END(cki_irq_enable)

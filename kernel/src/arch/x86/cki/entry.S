/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entry and exit code of a CKI guest.
 *
 * System calls and exceptions come straight from the CPU, as on hardware, with
 * these differences:
 *
 *  - The physical interrupt flag is always 1. The guest's own is a byte in
 *    struct cki_vcpu_info. User mode runs with it 0, so an entry from user mode
 *    finds "interrupts off"; an entry from the kernel notes the byte in
 *    pt_regs->flags and clears it. The monitor delivers no event while RIP is
 *    in .entry.text, so none of this races.
 *  - Returns to user mode are SYSRET and IRETQ, as on hardware. Since no flag can
 *    keep events away between the last look at them and the return, the monitor
 *    resumes at that look (KSM_RETURN_SET). What is pending there is handled as if
 *    it had come in user mode.
 *  - IRET to CPL 0 faults. These returns leave the state in cki_vcpu_info and jump
 *    to the monitor's gate, which also delivers what became pending.
 *  - #DB and events come from the monitor: the state is in cki_vcpu_info, and
 *    all registers are still those of the interrupted code.
 *
 * What user mode could make this code, or the kernel behind it, leak by speculation is
 * kept from it as in entry_64.S, by the same macros; but there is no IBRS_ENTER, and
 * no IBPB, because these MSRs are the host's. Nothing else here depends on
 * alternatives, so it works from the first instruction.
 */
#include <linux/linkage.h>
#include <linux/err.h>
#include <asm/asm.h>
#include <asm/asm-offsets.h>
#include <asm/errno.h>
#include <asm/frame.h>
#include <asm/nospec-branch.h>
#include <asm/percpu.h>
#include <asm/processor-flags.h>
#include <asm/segment.h>
#include <asm/smap.h>
#include <asm/trapnr.h>
#include <asm/unwind_hints.h>
#include <cki/abi.h>

#include "../entry/calling.h"
#include "vcpu_info.h"

#define IRET(member)	PER_CPU_VAR(cki_vcpu_info +			\
				    CKI_OFFSETOF_VCPU_INFO_IRET +	\
				    CKI_OFFSETOF_RETURN_STATE_##member)
/* base: of the state in struct cki_vcpu_info. */
#define FRAME(base, member)	PER_CPU_VAR(cki_vcpu_info + base +	\
				    CKI_OFFSETOF_INTERRUPTED_STATE_##member)

/* What the monitor refuses to return to (invariant I8), although user mode may set NT. */
#define FLAGS_CLEAR	(X86_EFLAGS_IOPL | X86_EFLAGS_NT | X86_EFLAGS_VM | \
			 X86_EFLAGS_VIF | X86_EFLAGS_VIP)
#define FLAGS_SET	(X86_EFLAGS_IF | X86_EFLAGS_FIXED)

	.code64
	.section .entry.text, "ax"

/*
 * The frame's IF says 1 whatever the guest's flag was. Note the flag there, then
 * clear it: from here on interrupts are off. \off: pt_regs' distance from RSP.
 */
.macro VIRTUAL_IF_SAVE off=0
	cmpb	$0, INFO(INTERRUPT_FLAG)
	jne	.Lflag_was_set_\@
	andl	$~X86_EFLAGS_IF, EFLAGS+\off(%rsp)
.Lflag_was_set_\@:
	movb	$0, INFO(INTERRUPT_FLAG)
.endm

/* Saves registers; returns pt_regs in RAX, which is on the task's stack if from user mode. */
SYM_CODE_START_LOCAL(cki_error_entry)
	ANNOTATE_NOENDBR
	UNWIND_HINT_FUNC
	PUSH_AND_CLEAR_REGS save_ret=1
	ENCODE_FRAME_POINTER 8

	testb	$3, CS+8(%rsp)
	jz	.Lfrom_kernel

	swapgs
	FENCE_SWAPGS_USER_ENTRY
	UNTRAIN_RET_FROM_CALL
	leaq	8(%rsp), %rdi
	jmp	sync_regs

.Lfrom_kernel:
	/* Two instructions may fault with the user's GS base. */
	leaq	cki_iret(%rip), %rcx
	cmpq	%rcx, RIP+8(%rsp)
	je	.Lbad_iret
	leaq	.Lgs_change(%rip), %rcx
	cmpq	%rcx, RIP+8(%rsp)
	jne	.Lkernel_gs
	swapgs
	FENCE_SWAPGS_USER_ENTRY
.Lkernel_gs:
	FENCE_SWAPGS_KERNEL_ENTRY
	CALL_DEPTH_ACCOUNT
	VIRTUAL_IF_SAVE off=8
	leaq	8(%rsp), %rax
	VALIDATE_UNRET_END
	RET

	/*
	 * A frame that IRETQ does not take (selectors and RIP are a debugger's or a
	 * signal handler's to choose) is a fault of the program: as if it had
	 * struck right after the return. The guest's flag is 0 already.
	 */
.Lbad_iret:
	swapgs
	FENCE_SWAPGS_USER_ENTRY
	UNTRAIN_RET_FROM_CALL
	leaq	8(%rsp), %rdi
	call	fixup_bad_iret
	movq	%rax, %rdi
	jmp	sync_regs
SYM_CODE_END(cki_error_entry)

.macro cki_idtentry vector cfunc has_error_code:req
SYM_CODE_START(cki_asm_\cfunc)
	.if \has_error_code
	UNWIND_HINT_IRET_ENTRY offset=8
	.else
	UNWIND_HINT_IRET_ENTRY
	.endif
	ENDBR
	clac
	cld

	.if \has_error_code == 0
	pushq	$-1
	.endif

	.if \vector == X86_TRAP_BP
	/* Room for the handler to emulate a CALL in the interrupted kernel code. */
	testb	$3, CS-ORIG_RAX(%rsp)
	jnz	.Lfrom_user_no_gap_\@
	.rept	6
	pushq	5*8(%rsp)
	.endr
	UNWIND_HINT_IRET_REGS offset=8
.Lfrom_user_no_gap_\@:
	.endif

	call	cki_error_entry
	movq	%rax, %rsp
	ENCODE_FRAME_POINTER
	UNWIND_HINT_REGS

	movq	%rsp, %rdi
	.if \has_error_code
	movq	ORIG_RAX(%rsp), %rsi
	movq	$-1, ORIG_RAX(%rsp)
	.endif
	call	\cfunc
	REACHABLE
	jmp	cki_error_return
SYM_CODE_END(cki_asm_\cfunc)
.endm

	cki_idtentry X86_TRAP_DE	exc_divide_error		0
	cki_idtentry X86_TRAP_BP	exc_int3			0
	cki_idtentry X86_TRAP_OF	exc_overflow			0
	cki_idtentry X86_TRAP_BR	exc_bounds			0
	cki_idtentry X86_TRAP_UD	exc_invalid_op			0
	cki_idtentry X86_TRAP_NM	exc_device_not_available	0
	cki_idtentry X86_TRAP_TS	exc_invalid_tss			1
	cki_idtentry X86_TRAP_NP	exc_segment_not_present		1
	cki_idtentry X86_TRAP_SS	exc_stack_segment		1
	cki_idtentry X86_TRAP_GP	exc_general_protection		1
	cki_idtentry X86_TRAP_PF	exc_page_fault			1
	cki_idtentry X86_TRAP_MF	exc_coprocessor_error		0
	cki_idtentry X86_TRAP_AC	exc_alignment_check		1
	cki_idtentry X86_TRAP_XF	exc_simd_coprocessor_error	0
#ifdef CONFIG_X86_CET
	cki_idtentry X86_TRAP_CP	exc_control_protection		1
#endif

/* Before trap_init(): all that can be done is a fixup or a report. */
.macro cki_early_entry vector has_error_code:req
SYM_CODE_START(cki_asm_early_\vector)
	.if \has_error_code
	UNWIND_HINT_IRET_ENTRY offset=8
	.else
	UNWIND_HINT_IRET_ENTRY
	.endif
	ENDBR
	cld
	.if \has_error_code == 0
	pushq	$0
	.endif
	call	cki_error_entry
	movq	%rax, %rsp
	UNWIND_HINT_REGS
	movq	%rsp, %rdi
	movl	$\vector, %esi
	call	do_early_exception
	jmp	cki_error_return
SYM_CODE_END(cki_asm_early_\vector)
.endm

	cki_early_entry 3  0
	cki_early_entry 6  0
	cki_early_entry 13 1
	cki_early_entry 14 1

SYM_CODE_START(cki_error_return)
	UNWIND_HINT_REGS
	testb	$3, CS(%rsp)
	jnz	cki_restore_regs_and_return_to_usermode

	POP_REGS
	addq	$8, %rsp	/* orig_ax */
	UNWIND_HINT_IRET_REGS

	/* Events stay away until the gate has left this code. */
	btl	$X86_EFLAGS_IF_BIT, 2*8(%rsp)
	setc	INFO(INTERRUPT_FLAG)

	movq	%rax, IRET(RAX)
	movq	%rcx, IRET(RCX)
	movq	%rdx, IRET(RDX)
	movq	0*8(%rsp), %rax
	movq	%rax, IRET(RIP)
	movl	1*8(%rsp), %ecx
	movq	%rcx, IRET(CS)
	movl	2*8(%rsp), %eax
	andl	$~FLAGS_CLEAR, %eax
	orl	$FLAGS_SET, %eax
	movq	%rax, IRET(RFLAGS)
	movq	3*8(%rsp), %rax
	movq	%rax, IRET(RSP)
	movl	4*8(%rsp), %eax
	movq	%rax, IRET(SS)

	/* The frame stays on the stack, for a report by cki_asm_iret_refused. */
	movabsq	$CKI_GATE_IRET, %rax
	ANNOTATE_RETPOLINE_SAFE
	jmp	*%rax
SYM_CODE_END(cki_error_return)

/* The gate refused a frame of the kernel's own. */
SYM_CODE_START(cki_asm_iret_refused)
	UNWIND_HINT_IRET_ENTRY
	ENDBR
	ud2
SYM_CODE_END(cki_asm_iret_refused)

SYM_CODE_START(cki_restore_regs_and_return_to_usermode)
	UNWIND_HINT_REGS
	ANNOTATE_NOENDBR
	POP_REGS
	addq	$8, %rsp	/* orig_ax */
	UNWIND_HINT_IRET_REGS

	/*
	 * An event that comes from the comparison on makes the monitor resume at
	 * the comparison, one that comes at IRETQ, at the label behind it. So what
	 * stands between can be done twice, and SWAPGS is the last of it
	 * (KSM_RETURN_SET). The processor forces IF, IOPL and NT; a fault is
	 * cki_error_entry's.
	 */
SYM_INNER_LABEL(cki_iret_check, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	cmpq	$0, INFO(EVENTS)
	jne	.Levents_before_iret
	CLEAR_CPU_BUFFERS
	swapgs
SYM_INNER_LABEL(cki_iret, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	iretq
SYM_INNER_LABEL(cki_iret_undo, SYM_L_GLOBAL)
	UNWIND_HINT_IRET_REGS
	ANNOTATE_NOENDBR
	swapgs
	jmp	cki_iret_check

	/* Their interrupted state is what IRETQ would have reached. */
SYM_INNER_LABEL(cki_events_before_return, SYM_L_LOCAL)
.Levents_before_iret:
	pushq	$-1
	PUSH_AND_CLEAR_REGS
	ENCODE_FRAME_POINTER
	movq	%rsp, %rdi
	call	sysvec_cki_event
	jmp	cki_restore_regs_and_return_to_usermode
SYM_CODE_END(cki_restore_regs_and_return_to_usermode)

/* SYSCALL from 64-bit code; see entry_SYSCALL_64 for the registers. */
SYM_CODE_START(cki_entry_SYSCALL_64)
	UNWIND_HINT_ENTRY
	ENDBR
	swapgs
	/* tss.sp2 is scratch space; the CPU uses the monitor's TSS. */
	movq	%rsp, PER_CPU_VAR(cpu_tss_rw + TSS_sp2)
	movq	PER_CPU_VAR(pcpu_hot + X86_top_of_stack), %rsp

	pushq	$__USER_DS				/* pt_regs->ss */
	pushq	PER_CPU_VAR(cpu_tss_rw + TSS_sp2)	/* pt_regs->sp */
	pushq	%r11					/* pt_regs->flags */
	pushq	$__USER_CS				/* pt_regs->cs */
	pushq	%rcx					/* pt_regs->ip */
	pushq	%rax					/* pt_regs->orig_ax */
	PUSH_AND_CLEAR_REGS rax=$-ENOSYS

	movq	%rsp, %rdi
	/* Sign extend the lower 32bit as syscall numbers are treated as int */
	movslq	%eax, %rsi

	/* These may change RAX and RCX. */
	UNTRAIN_RET
	CLEAR_BRANCH_HISTORY

	call	do_syscall_64		/* returns with interrupts off */
	testb	%al, %al
	jz	cki_restore_regs_and_return_to_usermode

	POP_REGS
	movq	RSP-ORIG_RAX(%rsp), %rsp
	UNWIND_HINT_END_OF_STACK

	/* As before IRETQ. */
SYM_INNER_LABEL(cki_sysret_check, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	cmpq	$0, INFO(EVENTS)
	jne	.Levents_before_sysret
	CLEAR_CPU_BUFFERS
	swapgs
SYM_INNER_LABEL(cki_sysret, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	sysretq
	int3
SYM_INNER_LABEL(cki_sysret_undo, SYM_L_GLOBAL)
	UNWIND_HINT_END_OF_STACK
	ANNOTATE_NOENDBR
	swapgs
	jmp	cki_sysret_check

.Levents_before_sysret:
	movq	%rsp, PER_CPU_VAR(cpu_tss_rw + TSS_sp2)
	movq	PER_CPU_VAR(pcpu_hot + X86_top_of_stack), %rsp
	pushq	$__USER_DS
	pushq	PER_CPU_VAR(cpu_tss_rw + TSS_sp2)
	pushq	%r11
	pushq	$__USER_CS
	pushq	%rcx
	UNWIND_HINT_IRET_REGS
	jmp	cki_events_before_return
SYM_CODE_END(cki_entry_SYSCALL_64)

/*
 * SYSCALL from 32-bit code, which there are CPUs for: no such system call exists.
 * As entry_SYSCALL32_ignore, but the way back looks for events.
 */
SYM_CODE_START(cki_entry_SYSCALL32)
	UNWIND_HINT_ENTRY
	ENDBR
	swapgs
	movq	%rsp, PER_CPU_VAR(cpu_tss_rw + TSS_sp2)
	movq	PER_CPU_VAR(pcpu_hot + X86_top_of_stack), %rsp

	/* The CPU leaves upper halves as they were, even that of RSP. */
	movl	%ecx, %ecx
	pushq	$__USER_DS				/* pt_regs->ss */
	pushq	PER_CPU_VAR(cpu_tss_rw + TSS_sp2)	/* pt_regs->sp */
	pushq	%r11					/* pt_regs->flags */
	pushq	$__USER32_CS				/* pt_regs->cs */
	pushq	%rcx					/* pt_regs->ip */
	pushq	$-1					/* pt_regs->orig_ax */
	PUSH_AND_CLEAR_REGS rax=$-ENOSYS
	UNTRAIN_RET
	jmp	cki_restore_regs_and_return_to_usermode
SYM_CODE_END(cki_entry_SYSCALL32)

/*
 * An event or #DB in user mode: RSP and GS base are the user's.
 */
.macro cki_user_entry name frame cfunc
SYM_CODE_START(\name)
	UNWIND_HINT_ENTRY
	ENDBR
	clac
	cld
	swapgs
	movq	PER_CPU_VAR(pcpu_hot + X86_top_of_stack), %rsp
	pushq	FRAME(\frame, SS)
	pushq	FRAME(\frame, RSP)
	pushq	FRAME(\frame, RFLAGS)
	pushq	FRAME(\frame, CS)
	pushq	FRAME(\frame, RIP)
	pushq	$-1
	PUSH_AND_CLEAR_REGS
	ENCODE_FRAME_POINTER
	UNTRAIN_RET
	movq	%rsp, %rdi
	call	\cfunc
	jmp	cki_restore_regs_and_return_to_usermode
SYM_CODE_END(\name)
.endm

/*
 * An event or #DB at CPL 0: the frame goes on the interrupted stack, aligned as
 * the CPU would. RAX is parked for a moment.
 */
.macro cki_kernel_frame frame
	clac
	cld
	movq	%rax, PER_CPU_VAR(cki_scratch)
	movq	%rsp, %rax
	andq	$-16, %rsp
	pushq	FRAME(\frame, SS)
	pushq	%rax
	pushq	FRAME(\frame, RFLAGS)
	pushq	FRAME(\frame, CS)
	pushq	FRAME(\frame, RIP)
	pushq	$-1
	movq	PER_CPU_VAR(cki_scratch), %rax
	PUSH_AND_CLEAR_REGS
	ENCODE_FRAME_POINTER
	movq	%rsp, %rdi
.endm

	cki_user_entry cki_asm_event_user CKI_OFFSETOF_VCPU_INFO_EVENT sysvec_cki_event
	cki_user_entry cki_asm_debug_user CKI_OFFSETOF_VCPU_INFO_DEBUG noist_exc_debug

SYM_CODE_START(cki_asm_event_kernel)
	UNWIND_HINT_UNDEFINED
	ENDBR
	cki_kernel_frame CKI_OFFSETOF_VCPU_INFO_EVENT
	/* Delivered because the flag was 1: the frame's IF is right. */
	call	sysvec_cki_event
	jmp	cki_error_return
SYM_CODE_END(cki_asm_event_kernel)

SYM_CODE_START(cki_asm_debug_kernel)
	UNWIND_HINT_UNDEFINED
	ENDBR
	cki_kernel_frame CKI_OFFSETOF_VCPU_INFO_DEBUG
	VIRTUAL_IF_SAVE
	call	exc_debug
	jmp	cki_error_return
SYM_CODE_END(cki_asm_debug_kernel)

/* load_gs_index(): the selector is the user's, the base in use the kernel's. */
SYM_FUNC_START(cki_load_gs_index)
	FRAME_BEGIN
	swapgs
.Lgs_change:
	ANNOTATE_NOENDBR
	movl	%edi, %gs
.Lgs_changed:
	swapgs
	FRAME_END
	RET

.Lbad_gs:
	swapgs			/* cki_error_entry made the kernel's active */
	xorl	%eax, %eax
	movl	%eax, %gs
	jmp	.Lgs_changed

	_ASM_EXTABLE(.Lgs_change, .Lbad_gs)
SYM_FUNC_END(cki_load_gs_index)

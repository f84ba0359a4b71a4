/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the module and the monitor. */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>

#define __ASSEMBLER__ 1
#include <cki/abi.h>

.text

/*
 * void cki_switch(u64 area, u64 bridge_cr3)
 *
 * Interrupts off, PKRS 0, CR4 as the monitor needs it. The monitor's entry has the same address in
 * the bridge and in the container. It comes back with the bridge loaded, the extension off, the
 * stack pointer of the call, and everything else but RFLAGS.IF the container's: GDT, IDT and TR
 * are restored by the caller, in this order, because the monitor's NMI handler knows what to do
 * on a stack of the host's, but not the other way round.
 */
SYM_FUNC_START(cki_switch)
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	rdgsbase %rax
	pushq	%rax
	movq	%rsi, %cr3
	movabsq	$CKI_MONITOR_ENTRY, %rax
	ANNOTATE_RETPOLINE_SAFE
	call	*%rax
	movl	$__KERNEL_DS, %eax
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	popq	%rax
	wrgsbase %rax
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	RET
SYM_FUNC_END(cki_switch)

/*
 * void cki_call_interrupt_handler(unsigned long handler)
 *
 * Enters the host's own handler of an interrupt that the container took, as the CPU would have: a
 * frame that returns to here. Interrupts off.
 */
SYM_FUNC_START(cki_call_interrupt_handler)
	pushq	%rbp
	movq	%rsp, %rbp
	andq	$-16, %rsp
	pushq	$__KERNEL_DS
	pushq	%rbp
	pushfq
	pushq	$__KERNEL_CS
	CALL_NOSPEC rdi
	/* IRET has restored it; objtool does not know. */
	movq	%rbp, %rsp
	popq	%rbp
	RET
SYM_FUNC_END(cki_call_interrupt_handler)

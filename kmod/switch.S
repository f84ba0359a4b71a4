/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the module and the monitor. */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/nospec-branch.h>
#include <asm/msr-index.h>
#include <asm/segment.h>

#define __ASSEMBLER__ 1
#include <cki/abi.h>

#include "switch.h"

.text

/*
 * void cki_switch(const struct cki_host_state *host)
 *
 * Interrupts off, PKRS 0, CR4 as the monitor needs it. Enters the monitor, and returns when it leaves.
 *
 * The extension is switched on first and off last: in between, at PKRS 0, the CPU holds back NMIs and machine checks,
 * so that neither the host's handlers run on tables of the container's nor the other way round. An exception would be
 * a double fault: hence no tracing, no probes, and nothing that could fault. The monitor's entry has the same
 * address in the bridge and in the container. It comes back with the bridge loaded, interrupts off, and the container's
 * GDT, IDT, TR, LDTR, segment registers and system-call MSRs.
 */
.pushsection .noinstr.text, "ax"
SYM_FUNC_START(cki_switch)
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rdi, %rbx
	rdgsbase %rax
	pushq	%rbx
	pushq	%rax
	movl	$CKI_MSR_CTL, %ecx
	xorl	%edx, %edx
	movl	$CKI_MSR_CTL_EN, %eax
	wrmsr				/* events are held */
	movq	HOST_BRIDGE(%rbx), %rsi
	movq	HOST_AREA(%rbx), %rdi
	movq	%rsi, %cr3
	movabsq	$CKI_MONITOR_ENTRY, %rax
	ANNOTATE_RETPOLINE_SAFE
	call	*%rax
	popq	%rax
	popq	%rbx

	/* LTR writes to the GDT, which is mapped read-only where it is used. */
	lgdt	HOST_GDT_WRITABLE(%rbx)
	movl	$(GDT_ENTRY_TSS * 8), %ecx
	ltr	%cx
	lgdt	HOST_GDT(%rbx)
	lidt	HOST_IDT(%rbx)
	lldt	HOST_LDT(%rbx)
	movl	$__KERNEL_DS, %ecx
	movl	%ecx, %ss
	xorl	%ecx, %ecx
	movl	%ecx, %ds
	movl	%ecx, %es
	movl	%ecx, %fs
	movl	%ecx, %gs
	wrgsbase %rax
	movq	HOST_CR3(%rbx), %rax
	movq	%rax, %cr3
	irp_msr = 0
	.irp	number, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE
	movl	$\number, %ecx
	movl	HOST_MSRS + 8 * irp_msr(%rbx), %eax
	movl	HOST_MSRS + 8 * irp_msr + 4(%rbx), %edx
	wrmsr
	irp_msr = irp_msr + 1
	.endr

	movl	$CKI_MSR_CTL, %ecx
	xorl	%edx, %edx
	xorl	%eax, %eax
	wrmsr				/* what was held arrives behind this */

	/*
	 * The NMI that made the container leave. It blocks others until the handler's IRET, which an
	 * IRET of anything else would end too early: so before anything can fault.
	 */
	movq	HOST_EXIT(%rbx), %rax
	cmpq	$CKI_KSM_EXIT_NMI, (%rax)
	jne	.Lno_nmi
	int	$2
.Lno_nmi:
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	RET
SYM_FUNC_END(cki_switch)
.popsection

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

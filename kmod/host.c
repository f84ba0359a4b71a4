// SPDX-License-Identifier: GPL-2.0-only
/* What made a container leave and is the host's to handle: interrupts, machine checks. */
#include <linux/bug.h>
#include <linux/sched.h>
#include <asm/desc.h>
#include <asm/irq_vectors.h>
#include <asm/mce.h>
#include <asm/processor-flags.h>
#include <asm/ptrace.h>

#include "host.h"

/* It was acknowledged by delivery to the monitor: the host's handler must run, whatever comes. */
static void interrupt(u64 vector)
{
	struct desc_ptr idt;

	if (WARN_ON_ONCE(vector < FIRST_EXTERNAL_VECTOR || vector >= NR_VECTORS))
		return;
	store_idt(&idt);
	cki_call_interrupt_handler(gate_offset((gate_desc *)idt.address + vector));
}

/*
 * To the host's handler a container is what KVM's guests are to it, user mode: what can be cured by
 * ending the thread does not end the host. If it finds that this CPU's thread is to end, it leaves
 * work for the way to user mode, which sends SIGBUS; and mce_count says so.
 */
static void machine_check(struct cki_vcpu *vcpu)
{
#ifdef CONFIG_X86_MCE
	struct pt_regs regs = {
		.cs = 3,
		.flags = X86_EFLAGS_IF,
	};

	do_machine_check(&regs);
	if (current->mce_count) {
		vcpu->memory_error = true;
		vcpu->memory_error_hpa = current->mce_addr & MCI_ADDR_PHYSADDR;
	}
#endif
}

/* Has the host handle what made the container leave, with interrupts still off. */
void cki_host_event(struct cki_vcpu *vcpu)
{
	switch (vcpu->sw->exit) {
	case CKI_KSM_EXIT_INTERRUPT:
		vcpu->run->exits_interrupt++;
		cki_vcpu_publish(vcpu);
		interrupt(vcpu->sw->exit_arguments[0]);
		break;
	case CKI_KSM_EXIT_NMI:
		/* The host's handler has run: cki_switch. */
		vcpu->run->exits_other++;
		vcpu->run->exits_nmi++;
		break;
	case CKI_KSM_EXIT_MACHINE_CHECK:
		vcpu->run->exits_other++;
		vcpu->run->exits_machine_check++;
		machine_check(vcpu);
		break;
	}
}

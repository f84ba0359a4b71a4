// SPDX-License-Identifier: GPL-2.0-only
/* Events, from the host's side: for a vCPU, and from the CPU while it was in a container. */
#define pr_fmt(fmt) "cki: " fmt

#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <trace/events/ipi.h>
#include <asm/desc.h>
#include <asm/irq_vectors.h>
#include <asm/mce.h>
#include <asm/processor-flags.h>
#include <asm/ptrace.h>

#include "internal.h"

/*
 * NULL if there is none, or if the host has found its memory to be broken: this is used in timers'
 * interrupts, and an access of the kernel's to such memory panics. The guest cannot do without it.
 */
static u64 *events_word(struct cki_vcpu *vcpu)
{
	u64 hpa = READ_ONCE(vcpu->sw->vcpu_info_hpa);
	u64 *events;

	if (!hpa)
		return NULL;
	events = cki_data_address(vcpu->container, hpa + CKI_OFFSETOF_VCPU_INFO_EVENTS);
	if (!events || !PageHWPoison(virt_to_page(events)))
		return events;
	if (READ_ONCE(vcpu->container->state) != CKI_DEAD) {
		pr_warn("memory error in the events word at %llx: its container ends\n", hpa);
		cki_container_kill(vcpu->container);
	}
	return NULL;
}

bool cki_vcpu_has_events(struct cki_vcpu *vcpu)
{
	u64 *events = events_word(vcpu);

	return events && READ_ONCE(*events);
}

/*
 * Makes a vCPU that is in the container leave it, and one that is idle look. The caller has stored
 * what it is to look at: an event, the state DEAD. Either this sees the CPU and interrupts it, or
 * the vCPU, which sets running_on before it looks, sees what was stored.
 *
 * With preemption off, the CPU in running_on cannot go offline (that takes this one as well), and
 * if it is this one, the container is not on it now: what was stored is seen at the next entry.
 */
void cki_vcpu_kick(struct cki_vcpu *vcpu)
{
	int cpu;

	wake_up(&vcpu->idle);
	preempt_disable();
	/* Between the caller's store and the load of running_on; the other half: cki_world_run. */
	smp_mb();
	cpu = READ_ONCE(vcpu->running_on);
	if (cpu >= 0 && cpu != smp_processor_id())
		smp_send_reschedule(cpu);
	preempt_enable();
}

int cki_vcpu_raise(struct cki_vcpu *vcpu, u32 event)
{
	u64 *events = events_word(vcpu);

	if (event > 63)
		return -EINVAL;
	/* A vCPU without its info structure takes no events; it will look when it has one. */
	if (!events)
		return 0;
	set_bit(event, (unsigned long *)events);
	cki_vcpu_kick(vcpu);
	return 0;
}

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
	case CKI_EXIT_INTERRUPT:
		vcpu->run->exits_interrupt++;
		interrupt(vcpu->sw->exit_arguments[0]);
		break;
	case CKI_EXIT_NMI:
		/* The host's handler has run: cki_switch. */
		vcpu->run->exits_other++;
		break;
	case CKI_EXIT_MACHINE_CHECK:
		vcpu->run->exits_other++;
		machine_check(vcpu);
		break;
	}
}

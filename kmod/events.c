// SPDX-License-Identifier: GPL-2.0-only
/* Events for a vCPU, from the host's side. */
#define pr_fmt(fmt) "cki: " fmt

#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <trace/events/ipi.h>

#include "events.h"

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

	if (event >= CKI_EVENTS_MAX)
		return -EINVAL;
	/* A vCPU without its info structure takes no events; it will look when it has one. */
	if (!events)
		return 0;
	set_bit(event, (unsigned long *)events);
	cki_vcpu_kick(vcpu);
	return 0;
}

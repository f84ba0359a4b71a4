// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: the interrupts of a CKI guest. The host sets a bit in cki_vcpu_info,
 * the monitor enters the handler when the guest's flag allows it.
 */
#include <linux/atomic.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>

#include <asm/i8259.h>
#include <asm/idtentry.h>
#include <asm/irq_stack.h>
#include <asm/hardirq.h>
#include <asm/x86_init.h>

#include "guest.h"

static struct irq_domain *domain;

/*
 * Takes what is pending. The host sets bits from any CPU at any time: only a
 * locked instruction loses none of them, which this_cpu_xchg() is not.
 */
static u64 take_events(void)
{
	return xchg(this_cpu_ptr(&cki_vcpu_info.events), 0);
}

DEFINE_IDTENTRY_SYSVEC(sysvec_cki_event)
{
	struct pt_regs *old_regs = set_irq_regs(regs);
	u64 events;

	while ((events = take_events())) {
		unsigned int event;

		if (events & BIT_ULL(CKI_EVENT_TIMER))
			cki_timer_event();
		events &= ~BIT_ULL(CKI_EVENT_TIMER);

		while (events) {
			event = __ffs64(events);
			events &= events - 1;
			if (domain)
				generic_handle_domain_irq(domain, event);
		}
	}

	set_irq_regs(old_regs);
}

/* An event is gone once its bit is taken; a device tells its reason itself. */
static void no_op(struct irq_data *data)
{
}

static struct irq_chip event_chip = {
	.name		= "cki-event",
	.irq_mask	= no_op,
	.irq_unmask	= no_op,
	.irq_ack	= no_op,
};

static int event_map(struct irq_domain *d, unsigned int irq,
		     irq_hw_number_t event)
{
	irq_set_chip_and_handler(irq, &event_chip, handle_edge_irq);
	return 0;
}

static const struct irq_domain_ops event_domain_ops = {
	.map = event_map,
};

int cki_event_to_irq(unsigned int event)
{
	unsigned int irq;

	if (!domain || event >= CKI_EVENTS_MAX)
		return -EINVAL;
	irq = irq_create_mapping(domain, event);
	return irq ?: -ENOMEM;
}

static void __init cki_init_irq(void)
{
	struct fwnode_handle *fwnode = irq_domain_alloc_named_fwnode("cki-event");

	domain = irq_domain_create_linear(fwnode, CKI_EVENTS_MAX, &event_domain_ops,
					  NULL);
	if (!domain)
		panic("cki: no interrupt domain");
}

/* Called with the flag 0; returns with it 1. */
void cki_safe_halt(void)
{
	cki_batch_flush();
	cki_must_call(CKI_HC_IDLE, 0, 0);
	raw_local_irq_enable();
}

/* HLT with interrupts off, at the end of a machine's life. */
void cki_halt(void)
{
	/* Before it runs, nobody switches it off: it has crashed, perhaps without a word. */
	if (irqs_disabled())
		cki_call(CKI_HC_SHUTDOWN,
			 system_state < SYSTEM_RUNNING ? CKI_SHUTDOWN_PANIC :
							 CKI_SHUTDOWN_POWEROFF,
			 0, 0, 0);
	else
		cki_safe_halt();
}

void __init cki_init_event_ops(void)
{
	legacy_pic = &null_legacy_pic;
	x86_init.irqs.intr_init = cki_init_irq;
	x86_init.irqs.intr_mode_select = x86_init_noop;
	x86_init.irqs.intr_mode_init = x86_init_noop;
}

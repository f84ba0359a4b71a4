// SPDX-License-Identifier: GPL-2.0-only
/*
 * In lazy MMU mode updates of table entries gather in a list of this CPU's and go to
 * the monitor in one call. Everything that reads back, orders or frees sends the list
 * first.
 */
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched.h>

#include "guest.h"

struct batch {
	/* In one frame, as KSM_ENTRY_BATCH wants it. */
	struct cki_batch_entry entries[CKI_BATCH_MAX];
} __aligned(sizeof(struct cki_batch_entry) * CKI_BATCH_MAX);

static DEFINE_PER_CPU(struct batch, batch);
static DEFINE_PER_CPU(unsigned int, batch_count);
DEFINE_PER_CPU(bool, cki_lazy);
static DEFINE_PER_CPU(u64, batch_hpa);

void cki_batch_flush(void)
{
	struct cki_batch_entry *update;
	unsigned int first = 0, count;
	unsigned long flags;
	long status;
	u64 applied;

	local_irq_save(flags);
	count = this_cpu_read(batch_count);
	if (count)
		this_cpu_write(batch_count, 0);
	while (first < count) {
		status = cki_call_value(CKI_KSM_ENTRY_BATCH,
					this_cpu_read(batch_hpa) +
						first * sizeof(*update),
					count - first, 0, 0, &applied);
		if (likely(!status))
			break;

		/* The call ends at the first refusal; the rest is another's. */
		first += applied;
		update = &this_cpu_ptr(&batch)->entries[first++];
		cki_entry_refused(update->entry_hpa, update->value, status);
	}
	local_irq_restore(flags);
}

bool cki_batch_add(u64 entry, u64 value)
{
	struct cki_batch_entry *update;
	unsigned int count;
	unsigned long flags;

	if (in_interrupt())
		return false;

	local_irq_save(flags);
	count = this_cpu_read(batch_count);
	update = &this_cpu_ptr(&batch)->entries[count];
	update->entry_hpa = entry;
	update->value = value;
	this_cpu_write(batch_count, ++count);
	local_irq_restore(flags);

	if (count == CKI_BATCH_MAX)
		cki_batch_flush();
	return true;
}

void cki_lazy_enter(void)
{
	/* Not before the batch has an address. */
	if (this_cpu_read(batch_hpa))
		this_cpu_write(cki_lazy, true);
}

void cki_lazy_leave(void)
{
	this_cpu_write(cki_lazy, false);
	cki_batch_flush();
}

/* Kernel mappings are changed in lazy mode with preemption on. */
void cki_start_context_switch(struct task_struct *prev)
{
	if (this_cpu_read(cki_lazy)) {
		cki_lazy_leave();
		set_ti_thread_flag(task_thread_info(prev),
				   TIF_LAZY_MMU_UPDATES);
	}
}

void cki_end_context_switch(struct task_struct *next)
{
	if (test_and_clear_ti_thread_flag(task_thread_info(next),
					  TIF_LAZY_MMU_UPDATES))
		cki_lazy_enter();
}

void cki_batch_init(void)
{
	this_cpu_write(batch_hpa, cki_hpa(this_cpu_ptr(&batch)));
}

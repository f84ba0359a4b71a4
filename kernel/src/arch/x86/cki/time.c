// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time of a CKI guest: the TSC, whose frequency the start info tells, the wall
 * clock of the clock page, and one-shot timers by hypercall.
 */
#include <linux/clockchips.h>
#include <linux/interrupt.h>
#include <linux/nmi.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/time64.h>
#include <linux/workqueue.h>

#include <asm/hardirq.h>
#include <asm/time.h>
#include <asm/tsc.h>
#include <asm/x86_init.h>

#include "guest.h"

#define cki_clock	((const struct cki_clock *)CKI_CLOCK)

static unsigned long cki_tsc_khz(void)
{
	return cki_start_info->tsc_khz;
}

static void cki_get_wallclock(struct timespec64 *now)
{
	u64 seconds, nanoseconds, tsc;
	u32 sequence;

	do {
		sequence = READ_ONCE(cki_clock->sequence);
		/* The sequence is read before what it guards, */
		rmb();
		seconds = cki_clock->wall_seconds;
		nanoseconds = cki_clock->wall_nanoseconds;
		tsc = cki_clock->tsc;
		/* and again after it. */
		rmb();
	} while ((sequence & 1) || sequence != READ_ONCE(cki_clock->sequence));

	tsc = rdtsc() - tsc;
	nanoseconds += mul_u64_u64_div_u64(tsc, NSEC_PER_MSEC,
					   cki_start_info->tsc_khz);
	now->tv_sec = seconds + div_u64_rem(nanoseconds, NSEC_PER_SEC,
					    (u32 *)&sequence);
	now->tv_nsec = sequence;
}

static int cki_set_wallclock(const struct timespec64 *now)
{
	return -ENODEV;
}

static DEFINE_PER_CPU(struct clock_event_device, clock_events);

static int cki_timer_next(unsigned long delta, struct clock_event_device *dev)
{
	return cki_call(CKI_HC_TIMER_SET, rdtsc() + delta, 0, 0, 0) ? -ETIME : 0;
}

static int cki_timer_off(struct clock_event_device *dev)
{
	cki_must_call(CKI_HC_TIMER_SET, 0, 0);
	return 0;
}

static DEFINE_PER_CPU(u64, absences_seen);

/*
 * Time goes on where the vCPU was kept from running, as if it had been stuck. As in
 * pvclock_touch_watchdogs(), who looks for that is told, before the tick has it look.
 */
static void notice_absences(void)
{
	u64 absences = READ_ONCE(cki_clock->absences);

	if (likely(absences == this_cpu_read(absences_seen)))
		return;
	this_cpu_write(absences_seen, absences);
	touch_softlockup_watchdog_sync();
	wq_watchdog_touch(smp_processor_id());
	rcu_cpu_stall_reset();
	reset_hung_task_detector();
}

void cki_timer_event(void)
{
	struct clock_event_device *dev = this_cpu_ptr(&clock_events);

	inc_irq_stat(apic_timer_irqs);
	notice_absences();
	if (dev->event_handler)
		dev->event_handler(dev);
}

static void __init cki_init_timer(void)
{
	struct clock_event_device *dev = this_cpu_ptr(&clock_events);

	dev->name = "cki";
	dev->features = CLOCK_EVT_FEAT_ONESHOT;
	dev->rating = 300;
	dev->cpumask = cpumask_of(smp_processor_id());
	dev->set_next_event = cki_timer_next;
	dev->set_state_shutdown = cki_timer_off;
	dev->set_state_oneshot_stopped = cki_timer_off;
	clockevents_config_and_register(dev, tsc_khz * 1000UL, 1000, LONG_MAX);
}

void __init cki_init_time_ops(void)
{
	x86_platform.calibrate_cpu = cki_tsc_khz;
	x86_platform.calibrate_tsc = cki_tsc_khz;
	x86_platform.get_wallclock = cki_get_wallclock;
	x86_platform.set_wallclock = cki_set_wallclock;
	x86_init.timers.timer_init = cki_init_timer;
	x86_init.timers.setup_percpu_clockev = x86_init_noop;
	x86_init.timers.wallclock_init = x86_init_noop;
}

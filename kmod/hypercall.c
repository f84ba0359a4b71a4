// SPDX-License-Identifier: GPL-2.0-only
/* Hypercalls: what the module answers itself, and what it hands to the launcher. */
#include <linux/math64.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <asm/tsc.h>

#include "cpu.h"
#include "eventfd.h"
#include "events.h"
#include "hypercall.h"
#include "operate.h"

static int answer(struct cki_vcpu *vcpu, s64 status, u64 value)
{
	vcpu->sw->status = status;
	vcpu->sw->value = value;
	return 0;
}

static int ask_launcher(struct cki_vcpu *vcpu, u32 reason)
{
	vcpu->run->exit_reason = reason;
	vcpu->run->status = 0;
	vcpu->run->value = 0;
	vcpu->completing = true;
	return 1;
}

static enum hrtimer_restart timer_fired(struct hrtimer *timer)
{
	cki_vcpu_raise(container_of(timer, struct cki_vcpu, timer), CKI_EVENT_TIMER);
	return HRTIMER_NORESTART;
}

void cki_timer_setup(struct cki_vcpu *vcpu)
{
	vcpu->timer.function = timer_fired;
}

static int set_timer(struct cki_vcpu *vcpu, u64 deadline)
{
	u64 now = rdtsc();

	vcpu->run->hypercalls_timer_set++;
	hrtimer_cancel(&vcpu->timer);
	if (deadline > now) {
		/* A day is as good as never, and does not overflow. */
		u64 ticks = min(deadline - now, (u64)cki_cpu_tsc_khz() * 1000 * 86400);

		ticks = mul_u64_u32_div(ticks, 1000000, cki_cpu_tsc_khz());
		hrtimer_start(&vcpu->timer, ns_to_ktime(ticks), HRTIMER_MODE_REL);
	} else if (deadline) {
		cki_vcpu_raise(vcpu, CKI_EVENT_TIMER);
	}
	return answer(vcpu, 0, 0);
}

static int idle(struct cki_vcpu *vcpu)
{
	u64 start = ktime_get_ns();

	vcpu->run->hypercalls_idle++;
	cki_vcpu_publish(vcpu);
	/* A signal ends it too: to the guest that is a wakeup without an event. */
	wait_event_interruptible(vcpu->idle, cki_vcpu_has_events(vcpu) ||
				 READ_ONCE(vcpu->run->immediate_exit) ||
				 READ_ONCE(vcpu->container->state) == CKI_DEAD);
	vcpu->run->idle_ns += ktime_get_ns() - start;
	vcpu->could_run = rdtsc();
	return answer(vcpu, 0, 0);
}

static int console(struct cki_vcpu *vcpu, u32 reason, u64 hpa, u64 length)
{
	struct cki_run *run = vcpu->run;

	run->hypercalls_console++;
	if (!length || length > CKI_FRAME_SIZE ||
	    (hpa & (CKI_FRAME_SIZE - 1)) + length > CKI_FRAME_SIZE)
		return answer(vcpu, -CKI_E_ARGUMENT, 0);
	if (cki_offset_of(vcpu->container, hpa) < 0)
		return answer(vcpu, -CKI_E_RANGE, 0);
	if (cki_class_of(vcpu->container, hpa) != CKI_CLASS_DATA)
		return answer(vcpu, -CKI_E_CLASS, 0);
	run->console.hpa = hpa;
	run->console.length = length;
	run->console.offset = cki_offset_of(vcpu->container, hpa);
	return ask_launcher(vcpu, reason);
}

static int mmio(struct cki_vcpu *vcpu, u32 reason, const u64 *a)
{
	struct cki_run *run = vcpu->run;

	if (a[0] >= vcpu->container->device_count || a[1] >= CKI_FRAME_SIZE ||
	    (a[2] != 1 && a[2] != 2 && a[2] != 4 && a[2] != 8))
		return answer(vcpu, -CKI_E_ARGUMENT, 0);
	if (reason == CKI_EXIT_MMIO_WRITE &&
	    cki_ioeventfd_signal(vcpu->container, a[0], a[1], a[2], a[3]))
		return answer(vcpu, 0, 0);
	run->mmio.device = a[0];
	run->mmio.offset = a[1];
	run->mmio.size = a[2];
	run->mmio.value = a[3];
	return ask_launcher(vcpu, reason);
}

static int send_events(struct cki_vcpu *vcpu, u64 mask, u64 event)
{
	u32 i;

	vcpu->run->hypercalls_event_send++;
	if (event < CKI_EVENT_IPI || event >= CKI_EVENT_IPI + CKI_IPI_EVENTS)
		return answer(vcpu, -CKI_E_ARGUMENT, 0);
	for (i = 0; i < vcpu->container->vcpu_count; i++) {
		struct cki_vcpu *target = cki_vcpu_of(vcpu->container, i);

		if ((mask & BIT_ULL(i)) && target)
			cki_vcpu_raise(target, event);
	}
	return answer(vcpu, 0, 0);
}

int cki_hypercall(struct cki_vcpu *vcpu)
{
	u64 number = vcpu->sw->exit_arguments[0];
	const u64 *a = &vcpu->sw->exit_arguments[1];
	struct cki_run *run = vcpu->run;
	int result;

	switch (number) {
	case CKI_HC_CONSOLE_WRITE:
		return console(vcpu, CKI_EXIT_CONSOLE_WRITE, a[0], a[1]);
	case CKI_HC_CONSOLE_READ:
		return console(vcpu, CKI_EXIT_CONSOLE_READ, a[0], a[1]);
	case CKI_HC_TIMER_SET:
		return set_timer(vcpu, a[0]);
	case CKI_HC_IDLE:
		return idle(vcpu);
	case CKI_HC_YIELD:
		run->hypercalls_yield++;
		schedule();
		return answer(vcpu, 0, 0);
	case CKI_HC_MMIO_READ:
		run->hypercalls_mmio_read++;
		return mmio(vcpu, CKI_EXIT_MMIO_READ, a);
	case CKI_HC_MMIO_WRITE:
		run->hypercalls_mmio_write++;
		return mmio(vcpu, CKI_EXIT_MMIO_WRITE, a);
	case CKI_HC_SHUTDOWN:
		cki_container_kill(vcpu->container);
		run->shutdown.reason = a[0];
		run->shutdown.code = a[1];
		run->exit_reason = CKI_EXIT_SHUTDOWN;
		return 1;
	case CKI_HC_PANIC:
		result = console(vcpu, CKI_EXIT_PANIC, a[0], a[1]);
		if (!result) {
			/* Words that nobody can read: a panic all the same. */
			run->console.hpa = 0;
			run->console.length = 0;
			run->console.offset = 0;
			run->exit_reason = CKI_EXIT_PANIC;
		}
		vcpu->completing = false;
		cki_vcpu_report(vcpu, "guest panic");
		cki_container_kill(vcpu->container);
		return 1;
	case CKI_HC_EVENT_SEND:
		return send_events(vcpu, a[0], a[1]);
	case CKI_HC_VCPU_START:
	case CKI_HC_VCPU_STOP:
		/* Not built. */
		return answer(vcpu, -CKI_E_HOST, 0);
	default:
		return answer(vcpu, -CKI_E_CALL, 0);
	}
}

// SPDX-License-Identifier: GPL-2.0-only
/* Running a guest, and what to do when it leaves. */
#include <linux/lockdep.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/thread_info.h>
#include <asm/trapnr.h>

#include "hypercall.h"
#include "operate.h"
#include "run.h"
#include "world.h"

static int fault_exit(struct cki_vcpu *vcpu, u32 reason, const char *what)
{
	struct cki_run *run = vcpu->run;
	const struct cki_vcpu_switch *sw = vcpu->sw;

	cki_vcpu_report_fault(vcpu, what);
	cki_container_kill(vcpu->container);
	run->exit_reason = reason;
	run->fault.vector = sw->exit_arguments[0];
	run->fault.error_code = sw->exit_arguments[1];
	run->fault.rip = sw->exit_arguments[2];
	run->fault.cr2 = sw->exit_arguments[3];
	run->fault.rsp = sw->exit_arguments[4];
	run->fault.reserved = 0;
	run->fault.refusal = sw->refusal;
	return 1;
}

/*
 * Most machine checks are told to every CPU and concern one. The host said whether this one was the
 * container's; one that struck the monitor at its work has ended it in any case.
 */
static int machine_check_exit(struct cki_vcpu *vcpu)
{
	struct cki_vcpu_switch *sw = vcpu->sw;

	if (!vcpu->memory_error && !sw->exit_arguments[1])
		return 0;
	sw->exit_arguments[0] = X86_TRAP_MC;
	sw->exit_arguments[3] = vcpu->memory_error_hpa;
	cki_vcpu_retire_broken(vcpu);
	return fault_exit(vcpu, CKI_EXIT_MACHINE_CHECK, "machine check");
}

/* 1: the launcher has something to do, 0: run on, or an error. */
static int handle_exit(struct cki_vcpu *vcpu)
{
	switch (vcpu->sw->exit) {
	case CKI_KSM_EXIT_HYPERCALL:
		vcpu->run->exits_hypercall++;
		return cki_hypercall(vcpu);
	case CKI_KSM_EXIT_INTERRUPT:
	case CKI_KSM_EXIT_NMI:
		return 0;
	case CKI_KSM_EXIT_MACHINE_CHECK:
		return machine_check_exit(vcpu);
	case CKI_KSM_EXIT_GUEST_FAULT:
		return fault_exit(vcpu, CKI_EXIT_GUEST_FAULT, "guest fault");
	default:
		return fault_exit(vcpu, CKI_EXIT_MONITOR_FAULT, "monitor fault");
	}
}

int cki_vcpu_run(struct cki_vcpu *vcpu)
{
	struct cki_container *container = vcpu->container;
	struct cki_run *page = vcpu->run;
	int result;

	lockdep_assert_held(&vcpu->mutex);
	/* CPUID would be the program's #GP in the container, too. */
	if (test_thread_flag(TIF_NOCPUID))
		return -EINVAL;
	if (vcpu->completing) {
		vcpu->sw->status = READ_ONCE(page->status);
		vcpu->sw->value = READ_ONCE(page->value);
		vcpu->completing = false;
	}
	for (;;) {
		if (READ_ONCE(container->state) == CKI_DEAD)
			return -ESHUTDOWN;
		if (signal_pending(current) || READ_ONCE(page->immediate_exit)) {
			page->exit_reason = CKI_EXIT_INTR;
			return -EINTR;
		}
		if (cki_has_user_work()) {
			page->exit_reason = CKI_EXIT_INTR;
			return 0;
		}
		/* By name: with full preemption cond_resched() does nothing. */
		if (cki_has_to_yield())
			schedule();
		vcpu->sw->operation = CKI_OP_RUN;
		result = cki_world_run(vcpu);
		if (result == -EAGAIN)
			continue;
		if (!result)
			result = handle_exit(vcpu);
		if (result)
			return min(result, 0);
	}
}

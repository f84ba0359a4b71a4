// SPDX-License-Identifier: GPL-2.0-only
/* Running a vCPU: operations of the monitor's, the guest, and what to do when it leaves. */
#define pr_fmt(fmt) "cki: " fmt

#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/thread_info.h>
#include <asm/trapnr.h>

#include "internal.h"

/*
 * The host does not mark the page in each case, above all not if the thread cannot be resumed. So
 * the chunk goes to nobody any more, whatever was under way.
 */
static void retire_broken(struct cki_vcpu *vcpu)
{
	if (vcpu->memory_error)
		cki_pool_retire(vcpu->memory_error_hpa);
}

/*
 * Events are held while the monitor works, so an operation ends by being done or by a fault of the
 * monitor's. The vCPU's mutex is held.
 */
int cki_vcpu_operate(struct cki_vcpu *vcpu, u64 operation, u64 a, u64 b, u64 c, u64 d)
{
	struct cki_vcpu_switch *sw = vcpu->sw;
	int error;

	if (READ_ONCE(vcpu->container->state) == CKI_DEAD)
		return -ESHUTDOWN;
	sw->operation = operation;
	sw->arguments[0] = a;
	sw->arguments[1] = b;
	sw->arguments[2] = c;
	sw->arguments[3] = d;
	sw->status = -CKI_E_STATE;
	error = cki_world_run(vcpu);
	if (error)
		return error;
	switch (sw->exit) {
	case CKI_EXIT_DONE:
		return sw->status ? -EPERM : 0;
	case CKI_EXIT_INTERRUPT:
	case CKI_EXIT_NMI:
		/* The host has handled it. What became of the operation nobody knows. */
		pr_err("%s[%d]: operation %llu was interrupted: exit %llu\n", current->comm,
		       task_pid_nr(current), operation, sw->exit);
		return -EIO;
	case CKI_EXIT_MACHINE_CHECK:
		retire_broken(vcpu);
		cki_vcpu_report(vcpu, "machine check");
		return -EIO;
	default:
		cki_vcpu_report(vcpu, "monitor fault");
		return -EIO;
	}
}

/* The last words about a container, for the kernel log. */
void cki_vcpu_report(struct cki_vcpu *vcpu, const char *what)
{
	const struct cki_vcpu_switch *sw = vcpu->sw;
	const u64 *a = sw->exit_arguments;
	const struct cki_refusal *refusal = &sw->refusal;

	pr_warn_ratelimited("%s[%d]: %s: vector %llu error %llx rip %llx cr2 %llx rsp %llx\n",
			    current->comm, task_pid_nr(current), what, a[0], a[1], a[2], a[3],
			    a[4]);
	if (refusal->count)
		pr_warn_ratelimited("%s[%d]: monitor refused %llu calls, at last %llu(%llx, %llx, %llx, %llx) with error %llu, called from %llx\n",
				    current->comm, task_pid_nr(current), refusal->count,
				    refusal->call, refusal->arguments[0], refusal->arguments[1],
				    refusal->arguments[2], refusal->arguments[3], refusal->error,
				    refusal->rip);
}

static int fault_exit(struct cki_vcpu *vcpu, u32 reason, const char *what)
{
	struct cki_run *run = vcpu->run;
	const struct cki_vcpu_switch *sw = vcpu->sw;

	cki_vcpu_report(vcpu, what);
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
	retire_broken(vcpu);
	return fault_exit(vcpu, CKI_RUN_MACHINE_CHECK, "machine check");
}

/* 1: the launcher has something to do, 0: run on, or an error. */
static int handle_exit(struct cki_vcpu *vcpu)
{
	switch (vcpu->sw->exit) {
	case CKI_EXIT_HYPERCALL:
		vcpu->run->exits_hypercall++;
		return cki_hypercall(vcpu);
	case CKI_EXIT_INTERRUPT:
	case CKI_EXIT_NMI:
		return 0;
	case CKI_EXIT_MACHINE_CHECK:
		return machine_check_exit(vcpu);
	case CKI_EXIT_GUEST_FAULT:
		return fault_exit(vcpu, CKI_RUN_GUEST_FAULT, "guest fault");
	default:
		return fault_exit(vcpu, CKI_RUN_MONITOR_FAULT, "monitor fault");
	}
}

/*
 * Work on the way to user mode that is no signal (task_work, restartable sequences, throttling by
 * memcg, a live patch's switch of this thread) is done there: what KVM calls for it wants a struct
 * kvm_vcpu, and what that calls is not exported.
 */
bool cki_has_user_work(void)
{
	return read_thread_flags() & (_TIF_NOTIFY_RESUME | _TIF_PATCH_PENDING);
}

int cki_vcpu_run(struct cki_vcpu *vcpu)
{
	struct cki_container *container = vcpu->container;
	struct cki_run *page = vcpu->run;
	int result;

	if (vcpu->completing) {
		vcpu->sw->status = READ_ONCE(page->status);
		vcpu->sw->value = READ_ONCE(page->value);
		vcpu->completing = false;
	}
	for (;;) {
		if (READ_ONCE(container->state) == CKI_DEAD)
			return -ESHUTDOWN;
		if (signal_pending(current) || READ_ONCE(page->immediate_exit)) {
			page->exit_reason = CKI_RUN_INTR;
			return -EINTR;
		}
		if (cki_has_user_work()) {
			page->exit_reason = CKI_RUN_INTR;
			return 0;
		}
		cond_resched();
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


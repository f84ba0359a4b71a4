// SPDX-License-Identifier: GPL-2.0-only
/* Operations of the monitor's, and what is said when it ends a container. */
#define pr_fmt(fmt) "cki: " fmt

#include <linux/lockdep.h>
#include <linux/printk.h>
#include <linux/sprintf.h>
#include <linux/sched.h>
#include <linux/pid.h>

#include "operate.h"
#include "pool.h"
#include "world.h"

/*
 * The host does not mark the page in each case, above all not if the thread cannot be resumed. So
 * the chunk goes to nobody any more, whatever was under way.
 */
void cki_vcpu_retire_broken(struct cki_vcpu *vcpu)
{
	if (vcpu->memory_error)
		cki_pool_retire(vcpu->memory_error_hpa);
}

void cki_vcpu_report(struct cki_vcpu *vcpu, const char *what)
{
	const struct cki_refusal *refusal = &vcpu->sw->refusal;

	pr_warn_ratelimited("%s[%d]: %s\n", current->comm, task_pid_nr(current), what);
	if (refusal->count)
		pr_warn_ratelimited("%s[%d]: monitor refused %llu calls, at last %llu(%llx, %llx, %llx, %llx) with error %llu, called from %llx\n",
				    current->comm, task_pid_nr(current), refusal->count,
				    refusal->call, refusal->arguments[0], refusal->arguments[1],
				    refusal->arguments[2], refusal->arguments[3], refusal->error,
				    refusal->rip);
}

void cki_vcpu_report_fault(struct cki_vcpu *vcpu, const char *what)
{
	const u64 *a = vcpu->sw->exit_arguments;
	char text[128];

	snprintf(text, sizeof(text), "%s: vector %llu error %llx rip %llx cr2 %llx rsp %llx", what,
		 a[0], a[1], a[2], a[3], a[4]);
	cki_vcpu_report(vcpu, text);
}

/*
 * Events are held while the monitor works, so an operation ends by being done or by a fault of the
 * monitor's.
 */
int cki_vcpu_operate(struct cki_vcpu *vcpu, u64 operation, u64 a, u64 b, u64 c, u64 d)
{
	struct cki_vcpu_switch *sw = vcpu->sw;
	int error;

	lockdep_assert_held(&vcpu->mutex);
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
	case CKI_KSM_EXIT_DONE:
		return sw->status ? -EPERM : 0;
	case CKI_KSM_EXIT_INTERRUPT:
	case CKI_KSM_EXIT_NMI:
		/* The host has handled it. What became of the operation nobody knows. */
		pr_err("%s[%d]: operation %llu was interrupted: exit %llu\n", current->comm,
		       task_pid_nr(current), operation, sw->exit);
		return -EIO;
	case CKI_KSM_EXIT_MACHINE_CHECK:
		cki_vcpu_retire_broken(vcpu);
		cki_vcpu_report_fault(vcpu, "machine check");
		return -EIO;
	default:
		cki_vcpu_report_fault(vcpu, "monitor fault");
		return -EIO;
	}
}

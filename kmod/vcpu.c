// SPDX-License-Identifier: GPL-2.0-only
/* vCPU descriptors. */
#define pr_fmt(fmt) "cki: " fmt

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <trace/events/ipi.h>
#include <asm/fpu/xstate.h>

#include "internal.h"

static atomic64_t next_tag = ATOMIC64_INIT(1);

int cki_vcpu_operate(struct cki_vcpu *vcpu, u64 operation, u64 a, u64 b, u64 c, u64 d)
{
	struct cki_vcpu_switch *sw = vcpu->sw;

	sw->operation = operation;
	sw->arguments[0] = a;
	sw->arguments[1] = b;
	sw->arguments[2] = c;
	sw->arguments[3] = d;
	sw->status = -CKI_E_STATE;
	cki_world_run(vcpu);
	if (sw->exit != CKI_EXIT_DONE) {
		cki_vcpu_report(vcpu, "monitor fault");
		return -EIO;
	}
	return sw->status ? -EPERM : 0;
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

static u64 *events_word(struct cki_vcpu *vcpu)
{
	u64 hpa = READ_ONCE(vcpu->sw->vcpu_info_hpa);

	if (!hpa)
		return NULL;
	return cki_data_address(vcpu->container, hpa + CKI_OFFSETOF_VCPU_INFO_EVENTS);
}

bool cki_vcpu_has_events(struct cki_vcpu *vcpu)
{
	u64 *events = events_word(vcpu);

	return events && READ_ONCE(*events);
}

/* Makes a vCPU that runs in the container leave it. */
void cki_vcpu_kick(struct cki_vcpu *vcpu)
{
	int cpu = READ_ONCE(vcpu->cpu);

	wake_up(&vcpu->idle);
	if (READ_ONCE(vcpu->in_guest) && cpu >= 0 && cpu != raw_smp_processor_id())
		smp_send_reschedule(cpu);
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
	/* The bit before in_guest is read: the vCPU sets in_guest before it looks for events. */
	smp_mb__after_atomic();
	cki_vcpu_kick(vcpu);
	return 0;
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
	run->fault.refusal_count = sw->refusal.count;
	run->fault.refusal_call = sw->refusal.call;
	memcpy(run->fault.refusal_arguments, sw->refusal.arguments,
	       sizeof(run->fault.refusal_arguments));
	run->fault.refusal_error = sw->refusal.error;
	run->fault.refusal_rip = sw->refusal.rip;
	return 1;
}

/* 1: the launcher has something to do, 0: run on, or an error. */
static int handle_exit(struct cki_vcpu *vcpu)
{
	switch (vcpu->sw->exit) {
	case CKI_EXIT_HYPERCALL:
		vcpu->run->exits_hypercall++;
		return cki_hypercall(vcpu);
	case CKI_EXIT_INTERRUPT:
		return 0;
	case CKI_EXIT_NMI:
	case CKI_EXIT_MACHINE_CHECK:
		vcpu->run->exits_other++;
		return 0;
	case CKI_EXIT_GUEST_FAULT:
		return fault_exit(vcpu, CKI_RUN_GUEST_FAULT, "guest fault");
	default:
		return fault_exit(vcpu, CKI_RUN_MONITOR_FAULT, "monitor fault");
	}
}

static int run(struct cki_vcpu *vcpu)
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
		cond_resched();
		vcpu->sw->operation = CKI_OP_RUN;
		if (cki_world_run(vcpu))
			continue;
		result = handle_exit(vcpu);
		if (result)
			return min(result, 0);
	}
}

static long vcpu_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct cki_vcpu *vcpu = file->private_data;
	long result;

	if (command != CKI_RUN)
		return -ENOTTY;
	if (argument)
		return -EINVAL;
	if (!mutex_trylock(&vcpu->mutex))
		return -EBUSY;
	if (READ_ONCE(vcpu->container->state) == CKI_DEAD)
		result = -ESHUTDOWN;
	else if (!READ_ONCE(vcpu->started))
		result = -ENOEXEC;
	else
		result = run(vcpu);
	vcpu->run->monitor_calls = vcpu->sw->calls;
	vcpu->run->monitor_returns = vcpu->sw->returns;
	mutex_unlock(&vcpu->mutex);
	return result;
}

static vm_fault_t vcpu_fault(struct vm_fault *vmf)
{
	struct cki_vcpu *vcpu = vmf->vma->vm_file->private_data;

	if (vmf->pgoff)
		return VM_FAULT_SIGBUS;
	vmf->page = virt_to_page(vcpu->run);
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = {
	.fault = vcpu_fault,
};

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (vma->vm_pgoff || vma_pages(vma) != 1 || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct cki_vcpu *vcpu = file->private_data;

	/* Nobody can run it any more; it goes with the container, whose last user goes. */
	hrtimer_cancel(&vcpu->timer);
	cki_container_put(vcpu->container);
	return 0;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = vcpu_ioctl,
	.mmap = vcpu_mmap,
	.release = vcpu_release,
	.llseek = noop_llseek,
};

/* Pages of an area: key 2 what the CPU reads for the guest, key 1 the monitor's; gaps stay. */
static int map_area(struct cki_vcpu *vcpu)
{
	struct cki_slot *slot = &vcpu->container->slot;
	unsigned int own = CKI_MAP_WRITE | CKI_MAP_KEY(CKI_PKEY_MONITOR);
	unsigned int tables = CKI_MAP_WRITE | CKI_MAP_KEY(CKI_PKEY_TABLES);
	void *sw;
	int error, i;

	error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_GDT, 3 * PAGE_SIZE, tables, NULL);
	if (!error)
		error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_STATE, PAGE_SIZE, own, NULL);
	if (!error)
		error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_SWITCH, PAGE_SIZE, own, &sw);
	if (!error)
		error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_SCRATCH, PAGE_SIZE, own, NULL);
	if (!error)
		error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_STACK_TOP - 4 * PAGE_SIZE,
				       4 * PAGE_SIZE, own, NULL);
	for (i = 0; i < CKI_IST_COUNT && !error; i++)
		error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_IST_TOP +
				       i * CKI_VCPU_IST_STRIDE - PAGE_SIZE, PAGE_SIZE, own, NULL);
	if (!error)
		vcpu->sw = sw;
	return error;
}

static int init_fpu(struct cki_vcpu *vcpu)
{
	struct xregs_state *state;

	vcpu->fpu_allocation = kzalloc(cki_world_fpu_size() + 64, GFP_KERNEL_ACCOUNT);
	if (!vcpu->fpu_allocation)
		return -ENOMEM;
	vcpu->fpu = PTR_ALIGN(vcpu->fpu_allocation, 64);
	/* XSTATE_BV is 0: all components start in their initial state, MXCSR as stored here. */
	state = vcpu->fpu;
	state->i387.mxcsr = MXCSR_DEFAULT;
	return 0;
}

void cki_vcpu_free(struct cki_vcpu *vcpu)
{
	if (!vcpu)
		return;
	hrtimer_cancel(&vcpu->timer);
	kfree(vcpu->fpu_allocation);
	free_page((unsigned long)vcpu->run);
	kfree(vcpu);
}

static struct cki_vcpu *new_vcpu(struct cki_container *container, u32 number)
{
	struct cki_vcpu *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);
	int error = -ENOMEM;

	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->container = container;
	vcpu->number = number;
	vcpu->area = CKI_VCPU_BASE + number * CKI_VCPU_STRIDE;
	vcpu->cpu = -1;
	vcpu->tag = atomic64_inc_return(&next_tag);
	mutex_init(&vcpu->mutex);
	init_waitqueue_head(&vcpu->idle);
	cki_timer_init(vcpu);
	vcpu->run = (struct cki_run *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (vcpu->run)
		error = init_fpu(vcpu);
	if (!error)
		error = map_area(vcpu);
	if (error) {
		cki_vcpu_free(vcpu);
		return ERR_PTR(error);
	}
	return vcpu;
}

int cki_vcpu_create(struct cki_container *container, u32 number)
{
	struct cki_vcpu *vcpu;
	struct file *file;
	int fd;

	BUILD_BUG_ON(sizeof(struct cki_run) > PAGE_SIZE);
	if (number >= container->vcpu_count)
		return -EINVAL;
	if (container->vcpus[number])
		return -EEXIST;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	vcpu = new_vcpu(container, number);
	if (IS_ERR(vcpu)) {
		put_unused_fd(fd);
		return PTR_ERR(vcpu);
	}
	file = anon_inode_create_getfile("[cki-vcpu]", &vcpu_fops, vcpu, O_RDWR, NULL);
	if (IS_ERR(file)) {
		/* Its pages stay in the slot until the container goes. */
		cki_vcpu_free(vcpu);
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	cki_container_get(container);
	container->vcpus[number] = vcpu;
	fd_install(fd, file);
	return fd;
}

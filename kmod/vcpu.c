// SPDX-License-Identifier: GPL-2.0-only
/* vCPU descriptors. */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "internal.h"

static atomic64_t next_tag = ATOMIC64_INIT(1);

static long vcpu_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct cki_vcpu *vcpu = file->private_data;
	enum cki_state state;
	long result;

	if (command != CKI_RUN)
		return -ENOTTY;
	if (argument)
		return -EINVAL;
	if (!mutex_trylock(&vcpu->mutex))
		return -EBUSY;
	state = READ_ONCE(vcpu->container->state);
	if (state == CKI_DEAD)
		result = -ESHUTDOWN;
	else if (state != CKI_RUNNING || !vcpu->started)
		result = -ENOEXEC;
	else
		result = cki_vcpu_run(vcpu);
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
	.compat_ioctl = compat_ptr_ioctl,
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

void cki_vcpu_free(struct cki_vcpu *vcpu)
{
	if (!vcpu)
		return;
	hrtimer_cancel(&vcpu->timer);
	cki_fpu_free(vcpu);
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
	vcpu->running_on = -1;
	vcpu->tag = atomic64_inc_return(&next_tag);
	mutex_init(&vcpu->mutex);
	init_waitqueue_head(&vcpu->idle);
	cki_timer_init(vcpu);
	vcpu->run = (struct cki_run *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (vcpu->run)
		error = cki_fpu_alloc(vcpu);
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

	BUILD_BUG_ON(CKI_RUN_SIZE != PAGE_SIZE);
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
	/* Whole before another thread finds it: CKI_RAISE_EVENT, CKI_KILL. */
	smp_store_release(&container->vcpus[number], vcpu);
	fd_install(fd, file);
	return fd;
}

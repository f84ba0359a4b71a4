// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors of vCPUs. */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>

#include "events.h"
#include "hypercall.h"
#include "run.h"
#include "vcpu.h"
#include "vcpu_descriptor.h"

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
	cki_vcpu_publish(vcpu);
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

static void kick_resident(struct cki_resident *resident)
{
	cki_vcpu_kick(container_of(resident, struct cki_vcpu, resident));
}

static void free_resident(struct cki_resident *resident)
{
	cki_vcpu_free(container_of(resident, struct cki_vcpu, resident));
}

int cki_vcpu_create(struct cki_container *container, u32 number)
{
	struct cki_vcpu *vcpu;
	struct file *file;
	int fd;

	BUILD_BUG_ON(CKI_RUN_SIZE != PAGE_SIZE);
	if (number >= container->vcpu_count)
		return -EINVAL;
	if (container->residents[number])
		return -EEXIST;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	vcpu = cki_vcpu_new(container, number);
	if (IS_ERR(vcpu)) {
		put_unused_fd(fd);
		return PTR_ERR(vcpu);
	}
	cki_timer_setup(vcpu);
	vcpu->resident.kick = kick_resident;
	vcpu->resident.free = free_resident;
	file = anon_inode_create_getfile("[cki-vcpu]", &vcpu_fops, vcpu, O_RDWR, NULL);
	if (IS_ERR(file)) {
		cki_vcpu_discard(vcpu);
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	cki_container_get(container);
	/* Whole before another thread finds it: CKI_RAISE_EVENT, CKI_KILL. */
	smp_store_release(&container->residents[number], &vcpu->resident);
	fd_install(fd, file);
	return fd;
}

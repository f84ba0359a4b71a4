// SPDX-License-Identifier: GPL-2.0-only
/* Container descriptors: memory and its mmap. */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

/* PCIDs of containers: from 16 on, below the half that page table isolation uses. */
#define PCID_FIRST	16
#define PCID_GROUPS	((2048 - PCID_FIRST) / CKI_PCIDS_MAX)

static atomic_t containers = ATOMIC_INIT(0);
static DEFINE_IDA(pcid_groups);

u32 cki_container_count(void)
{
	return atomic_read(&containers);
}

s64 cki_offset_of(const struct cki_container *container, u64 hpa)
{
	u64 offset = 0;
	u32 i;

	for (i = 0; i < container->segment_count; i++) {
		const struct cki_segment *segment = &container->segments[i];

		if (hpa - segment->base < segment->size)
			return offset + (hpa - segment->base);
		offset += segment->size;
	}
	return -1;
}

u32 cki_class_of(const struct cki_container *container, u64 hpa)
{
	u32 i;

	for (i = 0; i < container->class_count; i++)
		if (hpa - container->classes[i].base < container->classes[i].size)
			return container->classes[i].class;
	return CKI_CLASS_DATA;
}

void *cki_data_address(const struct cki_container *container, u64 hpa)
{
	if (cki_offset_of(container, hpa) < 0 || cki_class_of(container, hpa) != CKI_CLASS_DATA)
		return NULL;
	return __va(hpa);
}

static u64 hpa_at(const struct cki_container *container, u64 offset)
{
	u32 i;

	for (i = 0; i < container->segment_count; i++) {
		if (offset < container->segments[i].size)
			return container->segments[i].base + offset;
		offset -= container->segments[i].size;
	}
	return 0;
}

bool cki_container_change(struct cki_container *container, enum cki_state from, enum cki_state to)
{
	return cmpxchg(&container->state, from, to) == from;
}

void cki_container_kill(struct cki_container *container)
{
	u32 i;

	/* Whatever it was. A full barrier, as cki_vcpu_kick wants. */
	xchg(&container->state, CKI_DEAD);
	for (i = 0; i < container->vcpu_count; i++) {
		struct cki_vcpu *vcpu = READ_ONCE(container->vcpus[i]);

		if (vcpu)
			cki_vcpu_kick(vcpu);
	}
}

static void container_free(struct kref *kref)
{
	struct cki_container *container = container_of(kref, struct cki_container, kref);
	u32 i;

	for (i = 0; i < container->vcpu_count; i++)
		cki_vcpu_free(container->vcpus[i]);
	cki_pool_give(container->segments, container->segment_count);
	cki_slot_free(&container->slot);
	if (container->pcid_base)
		ida_free(&pcid_groups, (container->pcid_base - PCID_FIRST) / CKI_PCIDS_MAX);
	kfree(container);
	atomic_dec(&containers);
}

void cki_container_get(struct cki_container *container)
{
	kref_get(&container->kref);
}

void cki_container_put(struct cki_container *container)
{
	kref_put(&container->kref, container_free);
}

/*
 * Frames are mapped by number, without references: nothing of the host's can hold on to a page
 * of a container's (get_user_pages refuses), so what is given back is really free.
 */
static vm_fault_t insert(struct vm_fault *vmf, unsigned long address)
{
	struct vm_area_struct *vma = vmf->vma;
	struct cki_container *container = vma->vm_file->private_data;
	u64 page = vma->vm_pgoff + ((address - vma->vm_start) >> PAGE_SHIFT);
	u64 hpa = hpa_at(container, page << PAGE_SHIFT);

	if (!hpa || cki_class_of(container, hpa) != CKI_CLASS_DATA)
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn(vma, address, hpa >> PAGE_SHIFT);
}

/*
 * A launcher that touches a page loads a file into it and its neighbours, or serves a queue that
 * wanders: the whole chunk of the mapping comes at once.
 */
static vm_fault_t container_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct cki_container *container = vma->vm_file->private_data;
	unsigned long start = max(ALIGN_DOWN(vmf->address, CKI_CHUNK_SIZE), vma->vm_start);
	unsigned long end = min(ALIGN_DOWN(vmf->address, CKI_CHUNK_SIZE) + CKI_CHUNK_SIZE,
				vma->vm_end);
	unsigned long address;
	vm_fault_t result;

	down_read(&container->classes_lock);
	result = insert(vmf, vmf->address & PAGE_MASK);
	/* Neighbours that are not to be had are nobody's error. */
	if (result == VM_FAULT_NOPAGE)
		for (address = start; address < end; address += PAGE_SIZE)
			insert(vmf, address);
	up_read(&container->classes_lock);
	return result;
}

static const struct vm_operations_struct container_vm_ops = {
	.fault = container_fault,
};

static int container_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct cki_container *container = file->private_data;
	u64 pages = container->memory_size >> PAGE_SHIFT;

	if (!(vma->vm_flags & VM_SHARED) || vma->vm_flags & VM_EXEC || vma->vm_pgoff >= pages ||
	    vma_pages(vma) > pages - vma->vm_pgoff)
		return -EINVAL;
	vm_flags_mod(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY,
		     VM_MAYEXEC);
	vma->vm_ops = &container_vm_ops;
	return 0;
}

static long container_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct cki_container *container = file->private_data;
	void __user *user = (void __user *)argument;
	struct cki_event event;
	struct cki_vcpu *vcpu;
	long result;

	switch (command) {
	case CKI_CREATE_VCPU:
		if (argument > U32_MAX)
			return -EINVAL;
		mutex_lock(&container->lock);
		result = READ_ONCE(container->state) == CKI_NEW ?
				 cki_vcpu_create(container, argument) : -EBUSY;
		mutex_unlock(&container->lock);
		return result;
	case CKI_START:
		return cki_container_start(container, file, user);
	case CKI_RAISE_EVENT:
		if (copy_from_user(&event, user, sizeof(event)))
			return -EFAULT;
		if (event.vcpu >= container->vcpu_count)
			return -ENOENT;
		event.vcpu = array_index_nospec(event.vcpu, CKI_VCPUS_SUPPORTED);
		/* Pairs with the release in cki_vcpu_create. */
		vcpu = smp_load_acquire(&container->vcpus[event.vcpu]);
		return vcpu ? cki_vcpu_raise(vcpu, event.event) : -ENOENT;
	case CKI_KILL:
		if (argument)
			return -EINVAL;
		cki_container_kill(container);
		return 0;
	default:
		return -ENOTTY;
	}
}

static int container_release(struct inode *inode, struct file *file)
{
	cki_container_put(file->private_data);
	return 0;
}

static const struct file_operations container_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = container_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = container_mmap,
	.release = container_release,
	.llseek = noop_llseek,
};

/* Everything of slot 256 that does not depend on the start. */
static int build_slot(struct cki_container *container)
{
	struct cki_slot *slot = &container->slot;
	unsigned int own = CKI_MAP_WRITE | CKI_MAP_KEY(CKI_PKEY_MONITOR);
	u64 chunks = container->memory_size / CKI_CHUNK_SIZE, n = 0, at;
	void *boot, *clock;
	int error;
	u32 i;

	error = cki_image_map(slot);
	if (!error)
		error = cki_slot_alloc(slot, CKI_START_INFO, CKI_SIZEOF_START_INFO,
				       CKI_MAP_KEY(CKI_PKEY_GUEST), container->start_info);
	if (!error)
		error = cki_slot_alloc(slot, CKI_CLOCK, PAGE_SIZE, CKI_MAP_KEY(CKI_PKEY_GUEST),
				       &clock);
	if (!error)
		error = cki_slot_alloc(slot, CKI_BOOT_INFO, PAGE_SIZE, own, &boot);
	if (!error)
		error = cki_slot_alloc(slot, CKI_FRAME_TABLE,
				       PAGE_ALIGN(chunks * CKI_CHUNK_FRAMES * sizeof(u64)), own,
				       NULL);
	if (!error)
		error = cki_slot_alloc(slot, CKI_CHUNK_TABLE, PAGE_ALIGN(chunks * sizeof(u64)), own,
				       NULL);
	for (i = 0; i < container->segment_count; i++)
		for (at = 0; at < container->segments[i].size && !error; at += CKI_CHUNK_SIZE)
			error = cki_slot_map_chunk(slot, CKI_DIRECT_MAP + n++ * CKI_CHUNK_SIZE,
						   container->segments[i].base + at, own);
	if (error)
		return error;
	container->boot = boot;
	container->clock = clock;
	return 0;
}

static struct cki_container *new_container(const struct cki_create *create)
{
	struct cki_container *container = kzalloc(sizeof(*container), GFP_KERNEL_ACCOUNT);
	int count, group, error;

	if (!container)
		return ERR_PTR(-ENOMEM);
	kref_init(&container->kref);
	mutex_init(&container->lock);
	init_rwsem(&container->classes_lock);
	atomic_inc(&containers);
	container->vcpu_count = create->vcpus;
	error = cki_slot_init(&container->slot);
	if (error)
		goto fail;
	if (cki_world_has_pcids()) {
		group = ida_alloc_max(&pcid_groups, PCID_GROUPS - 1, GFP_KERNEL);
		error = group < 0 ? group : 0;
		if (error)
			goto fail;
		container->pcid_base = PCID_FIRST + group * CKI_PCIDS_MAX;
	}
	count = cki_pool_take(create->memory_size, container->segments, CKI_SEGMENTS_MAX);
	error = count < 0 ? count : 0;
	if (error)
		goto fail;
	container->segment_count = count;
	container->memory_size = create->memory_size;
	error = build_slot(container);
	if (!error)
		return container;
fail:
	cki_container_put(container);
	return ERR_PTR(error);
}

int cki_container_create(void __user *argument)
{
	struct cki_container *container;
	struct cki_create create;
	struct file *file;
	int error, fd;

	error = cki_read_sized(&create, sizeof(create), CKI_CREATE_SIZE_LEAST, argument);
	if (error)
		return error;
	if (create.abi_version != CKI_ABI_VERSION)
		return -EPROTO;
	if (create.flags || create.reserved ||
	    !create.vcpus || create.vcpus > CKI_VCPUS_SUPPORTED ||
	    !create.memory_size || create.memory_size & (CKI_CHUNK_SIZE - 1) ||
	    create.memory_size > CKI_FRAMES_MAX * CKI_FRAME_SIZE)
		return -EINVAL;
	if (create.memory_size > cki_pool_size())
		return -ENOSPC;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	container = new_container(&create);
	if (IS_ERR(container)) {
		put_unused_fd(fd);
		return PTR_ERR(container);
	}
	create.segment_count = container->segment_count;
	memcpy(create.segments, container->segments, sizeof(create.segments));
	file = anon_inode_create_getfile("[cki-container]", &container_fops, container, O_RDWR,
					 NULL);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		cki_container_put(container);
		return PTR_ERR(file);
	}
	if (cki_write_sized(argument, &create, sizeof(create), create.size)) {
		put_unused_fd(fd);
		fput(file);
		return -EFAULT;
	}
	fd_install(fd, file);
	return fd;
}

// SPDX-License-Identifier: GPL-2.0-only
/* Containers: memory, references, state. */
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "container.h"
#include "cpu.h"
#include "image.h"
#include "pool.h"

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

	/* Whatever it was. A full barrier, as a kick wants it. */
	xchg(&container->state, CKI_DEAD);
	for (i = 0; i < container->vcpu_count; i++) {
		/* Pairs with the release in cki_vcpu_create. */
		struct cki_resident *resident = smp_load_acquire(&container->residents[i]);

		if (resident)
			resident->kick(resident);
	}
}

static void let_go(struct cki_kept *kept)
{
	while (kept) {
		struct cki_kept *next = kept->next;

		kept->free(kept);
		kept = next;
	}
}

static void container_free(struct kref *kref)
{
	struct cki_container *container = container_of(kref, struct cki_container, kref);
	u32 i;

	let_go(container->ioeventfds);
	let_go(container->irqfds);
	for (i = 0; i < container->vcpu_count; i++)
		if (container->residents[i])
			container->residents[i]->free(container->residents[i]);
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
 * Frames are mapped by number, without references: nothing of the host's can hold on to a page of a
 * container's (get_user_pages refuses such a mapping, and KVM finds no count that it could raise:
 * pool.c). So what is given back is really free.
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

int cki_container_mmap(struct file *file, struct vm_area_struct *vma)
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

struct cki_container *cki_container_new(u64 memory_size, u32 vcpu_count)
{
	struct cki_container *container = kzalloc(sizeof(*container), GFP_KERNEL_ACCOUNT);
	int count, group, error;

	if (!container)
		return ERR_PTR(-ENOMEM);
	kref_init(&container->kref);
	mutex_init(&container->lock);
	init_rwsem(&container->classes_lock);
	atomic_inc(&containers);
	container->vcpu_count = vcpu_count;
	error = cki_slot_init(&container->slot);
	if (error)
		goto fail;
	if (cki_cpu_has_pcids()) {
		group = ida_alloc_max(&pcid_groups, PCID_GROUPS - 1, GFP_KERNEL);
		error = group < 0 ? group : 0;
		if (error)
			goto fail;
		container->pcid_base = PCID_FIRST + group * CKI_PCIDS_MAX;
	}
	count = cki_pool_take(memory_size, container->segments, CKI_SEGMENTS_MAX);
	error = count < 0 ? count : 0;
	if (error)
		goto fail;
	container->segment_count = count;
	container->memory_size = memory_size;
	error = build_slot(container);
	if (!error)
		return container;
fail:
	cki_container_put(container);
	return ERR_PTR(error);
}

// SPDX-License-Identifier: GPL-2.0-only
/* CKI_START: classes are fixed, the monitor takes over. */
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <asm/desc.h>
#include <asm/trapnr.h>
#include <asm/tsc.h>

#include <linux/cki.h>

#include "cpu.h"
#include "operate.h"
#include "sized.h"
#include "start.h"

/* All that the caller has said, read before anything is done and before any lock is taken. */
struct request {
	struct cki_start start;
	struct cki_start_info *info;
	struct cki_class_range *classes;
	struct cki_seal *seals;
	struct cki_boot_table *tables;
};

static void free_request(struct request *request)
{
	kvfree_sensitive(request->info, sizeof(*request->info));
	kvfree(request->classes);
	kvfree(request->seals);
	kvfree(request->tables);
}

static bool classes_valid(const struct cki_container *container, const struct request *request)
{
	u64 end = 0;
	u32 i;

	for (i = 0; i < request->start.class_count; i++) {
		const struct cki_class_range *range = &request->classes[i];
		s64 offset = cki_offset_of(container, range->base);

		if (range->reserved || range->class < CKI_CLASS_PT ||
		    range->class > CKI_CLASS_RO || !range->size ||
		    (range->base | range->size) & (CKI_FRAME_SIZE - 1) || range->base < end ||
		    range->base + range->size < range->base || offset < 0 ||
		    cki_offset_of(container, range->base + range->size - 1) !=
			    offset + (s64)range->size - 1)
			return false;
		end = range->base + range->size;
	}
	return true;
}

static bool valid(const struct cki_container *container, const struct request *request)
{
	const struct cki_start *start = &request->start;
	const struct cki_start_info *info = request->info;
	u32 i;

	for (i = 0; i < start->seal_count; i++)
		if (request->seals[i].frames > CKI_FRAMES_MAX)
			return false;
	for (i = 0; i < start->table_count; i++)
		if (request->tables[i].reserved)
			return false;
	return info->device_count <= CKI_DEVICES_MAX && info->seed_size <= sizeof(info->seed) &&
	       classes_valid(container, request);
}

/*
 * Reads count elements into new memory, which the caller's memory cgroup is charged with: it is
 * held for as long as the caller's own memory takes to be read.
 */
static int read_list(void **list, u64 from, u32 count, size_t size)
{
	*list = kvmalloc_array(count, size, GFP_KERNEL_ACCOUNT);
	if (!*list)
		return -ENOMEM;
	return copy_from_user(*list, u64_to_user_ptr(from), count * size) ? -EFAULT : 0;
}

/* What it has read is to be freed in any case. */
static int read_request(const struct cki_container *container, struct request *request,
			const void __user *argument)
{
	struct cki_start *start = &request->start;
	int error = cki_read_sized(start, sizeof(*start), CKI_START_SIZE_LEAST, argument);

	if (error)
		return error;
	if (start->flags || start->reserved || start->refusal_op || start->refusal_error ||
	    start->refusal_index || start->reserved2 || start->class_count > CKI_CLASS_RANGES_MAX ||
	    start->seal_count > CKI_SEALS_MAX || start->table_count > CKI_BOOT_TABLES_MAX)
		return -EINVAL;
	error = read_list((void **)&request->info, start->start_info, 1, sizeof(*request->info));
	if (!error)
		error = read_list((void **)&request->classes, start->classes, start->class_count,
				  sizeof(*request->classes));
	if (!error)
		error = read_list((void **)&request->seals, start->seals, start->seal_count,
				  sizeof(*request->seals));
	if (!error)
		error = read_list((void **)&request->tables, start->tables, start->table_count,
				  sizeof(*request->tables));
	if (error)
		return error;
	return valid(container, request) ? 0 : -EINVAL;
}

/* What is not Data is out of the launcher's reach before the monitor looks at it. */
static void fix_classes(struct cki_container *container, struct file *file,
			const struct request *request)
{
	down_write(&container->classes_lock);
	memcpy(container->classes, request->classes,
	       request->start.class_count * sizeof(*request->classes));
	container->class_count = request->start.class_count;
	up_write(&container->classes_lock);
	unmap_mapping_range(file->f_mapping, 0, 0, 1);
}

static void set_clock(struct cki_container *container)
{
	struct cki_clock *clock = container->clock;
	struct timespec64 wall;

	ktime_get_real_ts64(&wall);
	clock->tsc = rdtsc();
	clock->wall_seconds = wall.tv_sec;
	clock->wall_nanoseconds = wall.tv_nsec;
	clock->system_nanoseconds = 0;
	clock->tsc_khz = cki_cpu_tsc_khz();
	container->started_ns = ktime_get_ns();
}

static void set_start_info(struct cki_container *container, const struct request *request)
{
	struct cki_start_info *info = request->info;

	info->magic = CKI_START_INFO_MAGIC;
	info->abi_version = CKI_ABI_VERSION;
	info->vcpus = container->vcpu_count;
	info->segment_count = container->segment_count;
	info->class_count = container->class_count;
	memcpy(info->segments, container->segments, sizeof(info->segments));
	memcpy(info->classes, container->classes, sizeof(info->classes));
	info->boot_root_hpa = request->start.root_hpa;
	info->clock_hpa = __pa(container->clock);
	info->tsc_khz = cki_cpu_tsc_khz();
	info->pcids = container->pcid_base ? CKI_PCIDS_MAX : 0;
	info->command_line[sizeof(info->command_line) - 1] = 0;
	if (!info->seed_size) {
		get_random_bytes(info->seed, sizeof(info->seed));
		info->seed_size = sizeof(info->seed);
	}
	container->device_count = info->device_count;
	memcpy(container->start_info[0], info, PAGE_SIZE);
	memcpy(container->start_info[1], (void *)info + PAGE_SIZE, PAGE_SIZE);
}

/* Of all vCPUs that there are: none is created any more. */
static void count_page_table_frames(struct cki_container *container)
{
	u64 size = 0;
	u32 i;

	for (i = 0; i < container->class_count; i++)
		if (container->classes[i].class == CKI_CLASS_PT)
			size += container->classes[i].size;
	for (i = 0; i < container->vcpu_count; i++) {
		struct cki_vcpu *vcpu = cki_vcpu_of(container, i);

		if (vcpu)
			vcpu->run->page_table_frames = size / CKI_FRAME_SIZE;
	}
}

static void set_boot_info(struct cki_container *container)
{
	struct cki_monitor_boot *boot = container->boot;

	boot->magic = CKI_MONITOR_BOOT_MAGIC;
	boot->abi_version = CKI_ABI_VERSION;
	boot->vcpus = container->vcpu_count;
	boot->segment_count = container->segment_count;
	boot->class_count = container->class_count;
	boot->shared_count = 1;
	boot->pcid_base = container->pcid_base;
	boot->pcids = container->pcid_base ? CKI_PCIDS_MAX : 0;
	boot->slot_entry = cki_slot_entry(&container->slot);
	memcpy(boot->segments, container->segments, sizeof(boot->segments));
	memcpy(boot->classes, container->classes, sizeof(boot->classes));
	boot->shared[0].base = __pa(container->clock);
	boot->shared[0].size = PAGE_SIZE;
}

static int refused(struct cki_start *start, struct cki_vcpu *vcpu, int error, u64 operation,
		   u32 index)
{
	if (error == -EPERM) {
		start->refusal_op = operation;
		start->refusal_error = -vcpu->sw->status;
		start->refusal_index = index;
	}
	return error;
}

static int seal(struct cki_vcpu *vcpu, struct request *request)
{
	u32 i;

	for (i = 0; i < request->start.seal_count; i++) {
		const struct cki_seal *range = &request->seals[i];
		u64 done;

		/* The monitor says how many it could seal in the time that it may take. */
		for (done = 0; done < range->frames; done += vcpu->sw->value) {
			u64 frames = min_t(u64, CKI_SEAL_MAX, range->frames - done);
			int error = cki_vcpu_operate(vcpu, CKI_OP_SEAL,
						     range->hpa + done * CKI_FRAME_SIZE, frames,
						     0, 0);

			if (error)
				return refused(&request->start, vcpu, error, CKI_OP_SEAL, i);
			if (!vcpu->sw->value || vcpu->sw->value > frames)
				return -EIO;
			if (signal_pending(current))
				return -EINTR;
			cond_resched();
		}
	}
	return 0;
}

static int adopt(struct cki_vcpu *vcpu, struct request *request)
{
	u32 i;

	for (i = 0; i < request->start.table_count; i++) {
		const struct cki_boot_table *table = &request->tables[i];
		int error;

		/* Some entries at a time. */
		do {
			error = cki_vcpu_operate(vcpu, CKI_OP_ADOPT, table->hpa, table->kind, 0, 0);
			if (error)
				return refused(&request->start, vcpu, error, CKI_OP_ADOPT, i);
			if (signal_pending(current))
				return -EINTR;
			cond_resched();
		} while (vcpu->sw->value);
	}
	return 0;
}

static int hand_over(struct cki_vcpu *vcpu, struct request *request)
{
	struct cki_start *start = &request->start;
	int error;

	/* Some frames at a time: with many, it takes long. */
	do {
		error = cki_vcpu_operate(vcpu, CKI_OP_INIT, 0, 0, 0, 0);
		if (error)
			return refused(start, vcpu, error, CKI_OP_INIT, 0);
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
	} while (vcpu->sw->value);
	error = seal(vcpu, request);
	if (error)
		return error;
	error = adopt(vcpu, request);
	if (error)
		return error;
	error = cki_vcpu_operate(vcpu, CKI_OP_START, start->root_hpa, start->entry, 0,
				 CKI_START_INFO);
	if (error)
		return refused(start, vcpu, error, CKI_OP_START, 0);
	vcpu->started = true;
	return 0;
}

/* From NEW to STARTING, which only one caller does; the vCPU is there then, and stays. */
static int begin(struct cki_container *container)
{
	int error = 0;

	mutex_lock(&container->lock);
	if (READ_ONCE(container->state) == CKI_NEW && !cki_vcpu_of(container, 0))
		error = -ENOENT;
	else if (!cki_container_change(container, CKI_NEW, CKI_STARTING))
		error = READ_ONCE(container->state) == CKI_DEAD ? -ESHUTDOWN : -EBUSY;
	mutex_unlock(&container->lock);
	return error;
}

static int start(struct cki_container *container, struct file *file, struct request *request,
		 void __user *argument)
{
	struct cki_vcpu *vcpu = cki_vcpu_of(container, 0);
	int error;

	fix_classes(container, file, request);
	set_start_info(container, request);
	set_clock(container);
	set_boot_info(container);
	count_page_table_frames(container);
	mutex_lock(&vcpu->mutex);
	error = hand_over(vcpu, request);
	mutex_unlock(&vcpu->mutex);
	if (!error && !cki_container_change(container, CKI_STARTING, CKI_RUNNING))
		error = -ESHUTDOWN;
	if (error)
		cki_container_kill(container);
	if (error == -EPERM && cki_write_sized(argument, &request->start, sizeof(request->start),
					       request->start.size))
		error = -EFAULT;
	return error;
}

int cki_container_start(struct cki_container *container, struct file *file, void __user *argument)
{
	struct request request = {};
	int error = 0;

	/* A hint: begin() decides. But who is late shall hear that, whatever he says. */
	if (READ_ONCE(container->state) == CKI_NEW)
		error = read_request(container, &request, argument);
	if (!error)
		error = begin(container);
	if (!error)
		error = start(container, file, &request, argument);
	free_request(&request);
	return error;
}

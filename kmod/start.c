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

#include "internal.h"

#define TABLES_MAX	65536
#define LISTS_MAX	64
/* Frames that one entry of the monitor seals: bounds the time with interrupts off. */
#define SEAL_AT_ONCE	16

static int copy_classes(struct cki_container *container, const struct cki_start *start)
{
	const struct cki_uapi_class __user *user = u64_to_user_ptr(start->classes);
	u64 end = 0;
	u32 i;

	if (start->class_count > CKI_CLASS_RANGES_MAX)
		return -EINVAL;
	for (i = 0; i < start->class_count; i++) {
		struct cki_uapi_class range;
		s64 offset;

		if (copy_from_user(&range, &user[i], sizeof(range)))
			return -EFAULT;
		offset = cki_offset_of(container, range.hpa);
		if (range.reserved || range.class_ < CKI_CLASS_PT || range.class_ > CKI_CLASS_RO ||
		    !range.size || (range.hpa | range.size) & (CKI_FRAME_SIZE - 1) ||
		    range.hpa < end || range.hpa + range.size < range.hpa || offset < 0 ||
		    cki_offset_of(container, range.hpa + range.size - 1) !=
			    offset + (s64)range.size - 1)
			return -EINVAL;
		end = range.hpa + range.size;
		container->classes[i].base = range.hpa;
		container->classes[i].size = range.size;
		container->classes[i].class = range.class_;
		container->classes[i].reserved = 0;
	}
	container->class_count = start->class_count;
	return 0;
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
	clock->tsc_khz = cki_world_tsc_khz();
	container->started_ns = ktime_get_ns();
}

static int set_start_info(struct cki_container *container, const struct cki_start *start)
{
	struct cki_start_info *info;
	int error = 0;

	info = memdup_user(u64_to_user_ptr(start->start_info), sizeof(*info));
	if (IS_ERR(info))
		return PTR_ERR(info);
	info->magic = CKI_START_INFO_MAGIC;
	info->abi_version = CKI_ABI_VERSION;
	info->vcpus = container->vcpu_count;
	info->segment_count = container->segment_count;
	info->class_count = container->class_count;
	memcpy(info->segments, container->segments, sizeof(info->segments));
	memcpy(info->classes, container->classes, sizeof(info->classes));
	info->boot_root_hpa = start->root_hpa;
	info->clock_hpa = __pa(container->clock);
	info->tsc_khz = cki_world_tsc_khz();
	info->pcids = container->pcid_base ? CKI_PCIDS_MAX : 0;
	info->command_line[sizeof(info->command_line) - 1] = 0;
	if (info->device_count > CKI_DEVICES_MAX || info->seed_size > sizeof(info->seed)) {
		error = -EINVAL;
		goto out;
	}
	if (!info->seed_size) {
		get_random_bytes(info->seed, sizeof(info->seed));
		info->seed_size = sizeof(info->seed);
	}
	container->device_count = info->device_count;
	memcpy(container->start_info[0], info, PAGE_SIZE);
	memcpy(container->start_info[1], (void *)info + PAGE_SIZE, PAGE_SIZE);
out:
	kfree_sensitive(info);
	return error;
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

static int seal(struct cki_vcpu *vcpu, struct cki_start *start)
{
	const struct cki_seal __user *user = u64_to_user_ptr(start->seals);
	u32 i;

	for (i = 0; i < start->seal_count; i++) {
		struct cki_seal range;
		u64 done;

		if (copy_from_user(&range, &user[i], sizeof(range)))
			return -EFAULT;
		if (range.frames > CKI_FRAMES_MAX)
			return -EINVAL;
		for (done = 0; done < range.frames; done += SEAL_AT_ONCE) {
			u64 frames = min_t(u64, SEAL_AT_ONCE, range.frames - done);
			int error = cki_vcpu_operate(vcpu, CKI_OP_SEAL,
						     range.hpa + done * CKI_FRAME_SIZE, frames,
						     0, 0);

			if (error)
				return refused(start, vcpu, error, CKI_OP_SEAL, i);
			if (signal_pending(current))
				return -EINTR;
		}
	}
	return 0;
}

static int adopt(struct cki_vcpu *vcpu, struct cki_start *start)
{
	const struct cki_boot_table __user *user = u64_to_user_ptr(start->tables);
	u32 i;

	for (i = 0; i < start->table_count; i++) {
		struct cki_boot_table table;
		int error;

		if (copy_from_user(&table, &user[i], sizeof(table)))
			return -EFAULT;
		if (table.reserved)
			return -EINVAL;
		error = cki_vcpu_operate(vcpu, CKI_OP_ADOPT, table.hpa, table.kind, 0, 0);
		if (error)
			return refused(start, vcpu, error, CKI_OP_ADOPT, i);
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static int hand_over(struct cki_vcpu *vcpu, struct cki_start *start)
{
	int error = cki_vcpu_operate(vcpu, CKI_OP_INIT, 0, 0, 0, 0);

	if (error)
		return refused(start, vcpu, error, CKI_OP_INIT, 0);
	error = seal(vcpu, start);
	if (error)
		return error;
	error = adopt(vcpu, start);
	if (error)
		return error;
	error = cki_vcpu_operate(vcpu, CKI_OP_START, start->root_hpa, start->entry, 0,
				 CKI_START_INFO);
	return error ? refused(start, vcpu, error, CKI_OP_START, 0) : 0;
}

int cki_container_start(struct cki_container *container, struct file *file, void __user *argument)
{
	struct cki_vcpu *vcpu = container->vcpus[0];
	struct cki_start start;
	int error;

	if (copy_from_user(&start, argument, sizeof(start)))
		return -EFAULT;
	if (container->state != CKI_NEW)
		return -EBUSY;
	if (!vcpu)
		return -ENOENT;
	if (start.flags || start.refusal_op || start.refusal_error || start.refusal_index ||
	    start.reserved || start.seal_count > LISTS_MAX || start.table_count > TABLES_MAX)
		return -EINVAL;

	/* What is not Data is out of the launcher's reach before the monitor looks at it. */
	down_write(&container->classes_lock);
	error = copy_classes(container, &start);
	up_write(&container->classes_lock);
	unmap_mapping_range(file->f_mapping, 0, 0, 1);
	if (!error)
		error = set_start_info(container, &start);
	if (!error) {
		set_clock(container);
		set_boot_info(container);
		mutex_lock(&vcpu->mutex);
		error = hand_over(vcpu, &start);
		mutex_unlock(&vcpu->mutex);
	}
	if (error) {
		cki_container_kill(container);
		if (error == -EPERM && copy_to_user(argument, &start, sizeof(start)))
			error = -EFAULT;
		return error;
	}
	WRITE_ONCE(vcpu->started, true);
	WRITE_ONCE(container->state, CKI_RUNNING);
	return 0;
}

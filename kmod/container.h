/* SPDX-License-Identifier: GPL-2.0-only */
/* Containers: memory, references, state. */
#ifndef CKI_CONTAINER_H
#define CKI_CONTAINER_H

#include <linux/kref.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/types.h>

#include <cki/abi.h>

#include "slot.h"

/*
 * Every change is one atomic step, cki_container_change or cki_container_kill, so that of two that
 * happen at once none is lost. What a call does in a state, and where that leads:
 *
 *             CREATE_VCPU   START                    RUN        KILL, or the guest ends
 *             IOEVENTFD
 *             IRQFD
 *   NEW       done          -> STARTING              ENOEXEC    -> DEAD
 *   STARTING  EBUSY         done: -> RUNNING,        ENOEXEC    -> DEAD
 *                           failed: -> DEAD;
 *                           a second one: EBUSY
 *   RUNNING   EBUSY         EBUSY                    runs       -> DEAD
 *   DEAD      EBUSY         ESHUTDOWN                ESHUTDOWN  stays
 */
enum cki_state {
	CKI_NEW,	/* being filled in by the launcher */
	CKI_STARTING,	/* CKI_START is on its way: classes are fixed, the monitor takes over */
	CKI_RUNNING,
	CKI_DEAD,
};

/* What a container knows of a vCPU of its: how it is told that something has changed, and freed. */
struct cki_resident {
	void (*kick)(struct cki_resident *resident);
	void (*free)(struct cki_resident *resident);
};

/* What a container keeps for as long as its vCPUs, and lets go of before them. */
struct cki_kept {
	struct cki_kept *next;
	void (*free)(struct cki_kept *kept);
};

/*
 * Locking. A container's lock is the outermost (what creates a vCPU allocates under it); a vCPU's
 * mutex comes behind it, and is never waited for with the lock held. classes_lock is taken below
 * mmap_lock, by faults. slots_lock and pool_lock are innermost, and never held together.
 *
 *   lock          residents[]: written under it, in the state NEW. Read without: a store-release
 *                 makes a vCPU known, a load-acquire finds it
 *                 ioeventfds, irqfds and their counts: written under it, in the state NEW. Read
 *                 without by a vCPU that runs: the start has had the lock since, and then its mutex
 *   classes_lock  classes[], class_count: written by who has won STARTING, once, and read by it
 *                 without. Faults read them under it. All else that reads them comes behind the
 *                 start: in the vCPU's thread, or for a frame that the guest has named
 *   slot          pages and entries: with lock, in the state NEW. Upper half of the bridge, and the
 *                 list of all slots: slots_lock
 *   state         atomic steps, no lock
 *   the rest      is written by cki_container_new and by who has won STARTING, before RUNNING
 */
struct cki_container {
	struct kref kref;
	struct mutex lock;
	struct rw_semaphore classes_lock;
	enum cki_state state;
	u64 memory_size;
	u32 vcpu_count;
	u32 segment_count;
	struct cki_segment segments[CKI_SEGMENTS_MAX];
	u32 class_count;
	struct cki_class_range classes[CKI_CLASS_RANGES_MAX];
	struct cki_slot slot;
	struct cki_monitor_boot *boot;
	void *start_info[2];		/* two pages, not contiguous here */
	struct cki_clock *clock;
	u32 pcid_base;
	u32 device_count;
	struct cki_resident *residents[CKI_VCPUS_SUPPORTED];	/* by vCPU number */
	struct cki_kept *ioeventfds;	/* the newest first */
	struct cki_kept *irqfds;
	u32 ioeventfd_count;
	u32 irqfd_count;
	u64 started_ns;
};

/* One with memory and slot, in the state NEW; or an error. */
struct cki_container *cki_container_new(u64 memory_size, u32 vcpu_count);
/* Goes from one state to another, unless it is in a third. */
bool cki_container_change(struct cki_container *container, enum cki_state from, enum cki_state to);
void cki_container_get(struct cki_container *container);
void cki_container_put(struct cki_container *container);
/* Ends it, whatever it does, and kicks its residents. */
void cki_container_kill(struct cki_container *container);
u32 cki_container_count(void);
/* Maps its memory for a launcher. */
int cki_container_mmap(struct file *file, struct vm_area_struct *vma);
/* Place in the container's mmap of an hpa; -1 if it is none of the container's. */
s64 cki_offset_of(const struct cki_container *container, u64 hpa);
/* Address in the host's direct map of a Data frame's byte, NULL if it is none. */
void *cki_data_address(const struct cki_container *container, u64 hpa);
u32 cki_class_of(const struct cki_container *container, u64 hpa);

#endif /* CKI_CONTAINER_H */

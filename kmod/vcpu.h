/* SPDX-License-Identifier: GPL-2.0-only */
/* vCPUs: what one is made of. */
#ifndef CKI_VCPU_H
#define CKI_VCPU_H

#include <linux/hrtimer.h>
#include <linux/mutex.h>
#include <linux/wait.h>

#include <linux/cki.h>

#include "container.h"
#include "fpu.h"

/*
 * Locking. One thread at a time runs a vCPU: CKI_RUN tries the mutex, CKI_START takes it. Under it
 * are sw (what the guest or the monitor says in it included), fpu, started, memory_error and its
 * address, completing, cpu, could_run. Without it, by whoever has an event or an end to tell:
 * running_on (see cki_vcpu_kick), idle, timer, and sw->vcpu_info_hpa, read once. run is shared with
 * the launcher's threads and is read once, too; what the module writes there means nothing to it.
 */
struct cki_vcpu {
	struct cki_resident resident;	/* of the container */
	struct cki_container *container;
	u32 number;
	u64 area;			/* in the slot */
	struct mutex mutex;
	struct cki_run *run;
	struct cki_vcpu_switch *sw;
	wait_queue_head_t idle;
	struct hrtimer timer;
	struct cki_fpu fpu;
	int running_on;			/* CPU that is in the container, or -1: see cki_vcpu_kick */
	int cpu;			/* that was in it last */
	bool started;
	bool memory_error;		/* a machine check was the container's */
	u64 memory_error_hpa;
	bool completing;		/* run->status and value answer a hypercall */
	u64 tag;			/* of this vCPU, never of another */
	u64 could_run;			/* TSC when it left the container, or had something to do again */
};

/* A vCPU that nobody knows of yet; or an error. */
struct cki_vcpu *cki_vcpu_new(struct cki_container *container, u32 number);
/* With the container, which frees its pages in the slot. */
void cki_vcpu_free(struct cki_vcpu *vcpu);
/* With its pages in the slot: one that nobody knows of. */
void cki_vcpu_discard(struct cki_vcpu *vcpu);

/* Tells the launcher what the monitor has counted so far. By the thread that runs the vCPU. */
static inline void cki_vcpu_publish(struct cki_vcpu *vcpu)
{
	const struct cki_vcpu_switch *sw = vcpu->sw;
	struct cki_run *run = vcpu->run;

	run->monitor_calls = sw->calls;
	run->monitor_returns = sw->returns;
	run->monitor_refusals = sw->refusal.count;
	run->page_table_frames_used = sw->tables;
}

/* The vCPU of a number below the container's vcpu_count, NULL if it was not created. */
static inline struct cki_vcpu *cki_vcpu_of(struct cki_container *container, u32 number)
{
	/* Pairs with the release in cki_vcpu_create. */
	struct cki_resident *resident = smp_load_acquire(&container->residents[number]);

	return resident ? container_of(resident, struct cki_vcpu, resident) : NULL;
}

#endif /* CKI_VCPU_H */

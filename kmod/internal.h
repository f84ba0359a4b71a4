/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the module share. */
#ifndef CKI_INTERNAL_H
#define CKI_INTERNAL_H

#include <linux/hrtimer.h>
#include <linux/kref.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/types.h>
#include <linux/wait.h>

#include <cki/abi.h>
#include <uapi/linux/cki.h>

/* One until shootdown between vCPUs exists in monitor and module. */
#define CKI_VCPUS_SUPPORTED	1

/* ---- Pool: 2 MiB chunks that the module took from the page allocator ---- */

int cki_pool_init(u64 size);
void cki_pool_exit(void);
u64 cki_pool_size(void);
u64 cki_pool_free(void);
/* Takes size bytes, zeroed, as at most max segments in ascending order. Returns their number. */
int cki_pool_take(u64 size, struct cki_segment *segments, unsigned int max);
/* Gives them back; they are zeroed before anybody else gets them. */
void cki_pool_give(const struct cki_segment *segments, unsigned int count);

/* ---- The monitor's image, as read from the host's file system ---- */

int cki_image_load(const char *path);
void cki_image_unload(void);
bool cki_image_present(void);

/* ---- Slot 256 of a container ---- */

struct cki_slot {
	u64 *l3;
	u64 *bridge;		/* the host's kernel half and the slot */
	struct list_head pages;	/* all that was allocated for it */
};

/* Rights of a mapping in the slot. */
#define CKI_MAP_WRITE	1U
#define CKI_MAP_EXEC	2U
#define CKI_MAP_KEY(k)	((unsigned int)(k) << 8)

int cki_slot_init(struct cki_slot *slot);
void cki_slot_free(struct cki_slot *slot);
/* Maps size bytes of zeroed pages at va; pages[] (may be NULL) gets their addresses. */
int cki_slot_alloc(struct cki_slot *slot, u64 va, u64 size, unsigned int rights, void **pages);
/* Maps a chunk of container memory. */
int cki_slot_map_chunk(struct cki_slot *slot, u64 va, u64 hpa, unsigned int rights);
u64 cki_slot_entry(const struct cki_slot *slot);
/* How many pages all slots together have. */
u32 cki_slot_pages(void);
int cki_image_map(struct cki_slot *slot);

/* ---- Containers ---- */

enum cki_state {
	CKI_NEW,	/* being filled in by the launcher */
	CKI_RUNNING,
	CKI_DEAD,
};

struct cki_container {
	struct kref kref;
	struct mutex lock;		/* creation of vCPUs, start */
	struct rw_semaphore classes_lock; /* faults against the change of classes */
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
	struct cki_vcpu *vcpus[CKI_VCPUS_SUPPORTED];
	u64 started_ns;
};

int cki_container_create(void __user *argument);
int cki_container_start(struct cki_container *container, struct file *file, void __user *argument);
void cki_container_get(struct cki_container *container);
void cki_container_put(struct cki_container *container);
void cki_container_kill(struct cki_container *container);
u32 cki_container_count(void);
/* Place in the container's mmap of an hpa; -1 if it is none of the container's. */
s64 cki_offset_of(const struct cki_container *container, u64 hpa);
/* Address in the host's direct map of a Data frame's byte, NULL if it is none. */
void *cki_data_address(const struct cki_container *container, u64 hpa);
u32 cki_class_of(const struct cki_container *container, u64 hpa);

/* ---- vCPUs ---- */

struct cki_vcpu {
	struct cki_container *container;
	u32 number;
	u64 area;			/* in the slot */
	struct mutex mutex;		/* one thread at a time */
	struct cki_run *run;
	struct cki_vcpu_switch *sw;
	wait_queue_head_t idle;
	struct hrtimer timer;
	void *fpu;			/* XSAVE area */
	void *fpu_allocation;
	bool in_guest;
	int cpu;
	bool started;
	bool completing;		/* run->status and value answer a hypercall */
	u64 tag;			/* of this vCPU, never of another */
};

int cki_vcpu_create(struct cki_container *container, u32 number);
void cki_vcpu_free(struct cki_vcpu *vcpu);
int cki_vcpu_raise(struct cki_vcpu *vcpu, u32 event);
void cki_vcpu_kick(struct cki_vcpu *vcpu);
bool cki_vcpu_has_events(struct cki_vcpu *vcpu);
/* Runs an operation of the monitor's. -EPERM if it refused: sw->status. -EIO if it failed. */
int cki_vcpu_operate(struct cki_vcpu *vcpu, u64 operation, u64 a, u64 b, u64 c, u64 d);
void cki_vcpu_report(struct cki_vcpu *vcpu, const char *what);
/* Handles EXIT_HYPERCALL. 1: run->exit_reason is set, 0: run on, or an error. */
int cki_hypercall(struct cki_vcpu *vcpu);
void cki_timer_init(struct cki_vcpu *vcpu);

/* ---- World switch ---- */

/* What this CPU and kernel lack, CKI_MISSING_*. */
u32 cki_world_missing(void);
int cki_world_init(void);
bool cki_world_has_pcids(void);
unsigned int cki_world_fpu_size(void);
u32 cki_world_tsc_khz(void);
/*
 * Enters the monitor with sw->operation and returns when it leaves: the host's state is back,
 * interrupts are on, and what interrupted the container has been handled. 0, or -EAGAIN if
 * something has to be done before, and nothing was entered.
 */
int cki_world_run(struct cki_vcpu *vcpu);

/* switch.S */
asmlinkage void cki_call_interrupt_handler(unsigned long handler);

#endif /* CKI_INTERNAL_H */

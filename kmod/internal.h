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
#include <linux/uaccess.h>
#include <linux/wait.h>

#include <cki/abi.h>
#include <linux/cki.h>

/* One until shootdown between vCPUs exists in monitor and module. */
#define CKI_VCPUS_SUPPORTED	1

/* ---- Pool: 2 MiB chunks that the module took from the page allocator ---- */

int cki_pool_init(u64 size);
void cki_pool_exit(void);
u64 cki_pool_size(void);
u64 cki_pool_free(void);
/*
 * Takes size bytes, zeroed, as at most max segments in ascending order, if possible of this CPU's
 * NUMA node. Returns their number.
 */
int cki_pool_take(u64 size, struct cki_segment *segments, unsigned int max);
/* Gives them back; they are zeroed before anybody else gets them. */
void cki_pool_give(const struct cki_segment *segments, unsigned int count);
/* Memory with an error: the chunk is given to nobody any more, neither container nor host. */
void cki_pool_retire(u64 hpa);

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

/*
 * Every change is one atomic step, cki_container_change or cki_container_kill, so that of two that
 * happen at once none is lost. What a call does in a state, and where that leads:
 *
 *             CREATE_VCPU   START                    RUN        KILL, or the guest ends
 *   NEW       a vCPU        -> STARTING              ENOEXEC    -> DEAD
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

struct cki_container {
	struct kref kref;
	struct mutex lock;		/* creation of vCPUs against the end of NEW */
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
/* Goes from one state to another, unless it is in a third. */
bool cki_container_change(struct cki_container *container, enum cki_state from, enum cki_state to);
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
	u64 host_xfd;
	u32 host_pkru;
	int running_on;			/* CPU that is in the container, or -1: see cki_vcpu_kick */
	int cpu;			/* that was in it last */
	bool started;			/* under the mutex */
	bool memory_error;		/* a machine check was the container's */
	u64 memory_error_hpa;
	bool completing;		/* run->status and value answer a hypercall */
	u64 tag;			/* of this vCPU, never of another */
};

int cki_vcpu_create(struct cki_container *container, u32 number);
void cki_vcpu_free(struct cki_vcpu *vcpu);
int cki_vcpu_raise(struct cki_vcpu *vcpu, u32 event);
void cki_vcpu_kick(struct cki_vcpu *vcpu);
bool cki_vcpu_has_events(struct cki_vcpu *vcpu);
/*
 * Runs an operation of the monitor's. -EPERM if it refused: sw->status. -EIO if it failed.
 * -ESHUTDOWN if the container has been killed. -ENXIO as cki_world_run.
 */
int cki_vcpu_operate(struct cki_vcpu *vcpu, u64 operation, u64 a, u64 b, u64 c, u64 d);
int cki_vcpu_run(struct cki_vcpu *vcpu);
/* Something is to be done on this thread's way to user mode. */
bool cki_has_user_work(void);
void cki_vcpu_report(struct cki_vcpu *vcpu, const char *what);
/* Handles EXIT_HYPERCALL. 1: run->exit_reason is set, 0: run on, or an error. */
int cki_hypercall(struct cki_vcpu *vcpu);
void cki_timer_init(struct cki_vcpu *vcpu);

/* ---- World switch ---- */

/* What this CPU and kernel lack, CKI_MISSING_*. */
u32 cki_world_missing(void);
/* CKI_MISSING_VMX as long as KVM has the CPUs. */
u32 cki_world_taken(void);
int cki_world_init(void);
bool cki_world_has_pcids(void);
u32 cki_world_tsc_khz(void);
/*
 * Enters the monitor with sw->operation and returns when it leaves: the host's state is back,
 * interrupts are on, and what interrupted the container has been handled. 0, or, with nothing
 * entered, -EAGAIN if something has to be done before, -ENXIO if this CPU is in VMX operation.
 */
int cki_world_run(struct cki_vcpu *vcpu);

/* ---- FPU: inside of kernel_fpu_begin and _end, interrupts off ---- */

void cki_fpu_setup(void);
int cki_fpu_alloc(struct cki_vcpu *vcpu);
void cki_fpu_free(struct cki_vcpu *vcpu);
void cki_fpu_load(struct cki_vcpu *vcpu);
void cki_fpu_save(struct cki_vcpu *vcpu);

/* ---- What ended the stay in the container is the host's: interrupts off ---- */

void cki_host_event(struct cki_vcpu *vcpu);

/* ---- Structures that begin with their size ---- */

#define CKI_SIZE_MAX	PAGE_SIZE

/* Reads one that is least bytes long in the oldest version; its size stays what the caller said. */
int cki_read_sized(void *to, size_t size, size_t least, const void __user *from);
/* Writes back as much of it as the caller has room for, given bytes; sets the rest to 0. */
int cki_write_sized(void __user *to, const void *from, size_t size, size_t given);

/* switch.S */
asmlinkage void cki_call_interrupt_handler(unsigned long handler);

#endif /* CKI_INTERNAL_H */

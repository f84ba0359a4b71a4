/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * /dev/cki: secure containers with a deprivileged guest kernel.
 *
 * Three kinds of file descriptors, as KVM has them:
 *
 *   system     open("/dev/cki", O_RDWR | O_CLOEXEC)
 *   container  CKI_CREATE_CONTAINER on the system descriptor
 *   vCPU       CKI_CREATE_VCPU on the container descriptor
 *
 * Life of a container: CKI_CREATE_CONTAINER takes memory from the pool and
 * zeroes it. The launcher mmaps the container descriptor, loads kernel,
 * initrd and boot page tables into the memory, and calls CKI_START, which
 * fixes the class of each frame. CKI_CREATE_VCPU, mmap of the run page,
 * CKI_RUN in a loop. Closing the last descriptor and unmapping the last
 * mapping ends the container and gives its memory back, zeroed, however the
 * launcher ends.
 *
 * Common errors of all calls: ENOTTY (no such call on this descriptor),
 * EFAULT (bad pointer), EINVAL (a reserved field or unknown flag is not 0).
 *
 * A structure that begins with its size may grow at its end. The caller says
 * how long its own is; fields that it does not have count as 0. Errors: EINVAL
 * (shorter than in version 2 of this header), E2BIG (longer than the module
 * knows, and something there is not 0). The layouts are the same for 32-bit
 * programs.
 */
#ifndef _UAPI_LINUX_CKI_H
#define _UAPI_LINUX_CKI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Version of this header; CKI_GET_VERSION returns the module's. */
#define CKI_UAPI_VERSION	2

/* What a machine provides, cki_info.mode. */
#define CKI_MODE_NONE		0	/* no container can run: see missing */
#define CKI_MODE_CKI		1	/* PKS and the CKI extension: full isolation */

/* Why it is CKI_MODE_NONE, bits of cki_info.missing. */
#define CKI_MISSING_PKS		(1U << 0) /* CPUID 7.0:ECX[31], supervisor protection keys */
#define CKI_MISSING_EXTENSION	(1U << 1) /* CPUID 434b4901H:EAX[0], the CKI extension */
#define CKI_MISSING_CPU		(1U << 2) /* NX, SMEP, SMAP, UMIP, FSGSBASE, XSAVE, stable TSC */
#define CKI_MISSING_MONITOR	(1U << 3) /* or not the one that the module was built with */
#define CKI_MISSING_POOL	(1U << 4) /* pool= of the module is 0, or nothing was left */
#define CKI_MISSING_KERNEL	(1U << 5) /* 5-level paging, FRED, memory encryption, Xen */
#define CKI_MISSING_VMX		(1U << 6) /* KVM has the CPUs in VMX operation, at this moment */

/**
 * struct cki_info - CKI_GET_INFO
 * @size:        in: of the caller's structure, out: of the module's
 * @mode:        CKI_MODE_*
 * @missing:     CKI_MISSING_*, 0 unless @mode is CKI_MODE_NONE
 * @abi_version: CKI_ABI_VERSION of module and monitor
 * @vcpus_max:   vCPUs that a container can have
 * @containers:  number of containers now
 * @pool_size:   bytes of the pool, used or not
 * @pool_free:   bytes that a new container can have
 * @tsc_khz:     frequency of the time-stamp counter
 * @monitor_pages: pages of 4 KiB that their monitors take, with page tables
 *               and frame words; outside of the pool
 * @reserved:    out: 0
 */
struct cki_info {
	__u32 size;
	__u32 mode;
	__u32 missing;
	__u32 abi_version;
	__u32 vcpus_max;
	__u32 containers;
	__u64 pool_size;
	__u64 pool_free;
	__u64 tsc_khz;
	__u32 monitor_pages;
	__u32 reserved;
};

/* A range of the container's memory; as in the start info of the guest. */
struct cki_uapi_segment {
	__u64 hpa;	/* host-physical address, a multiple of 2 MiB */
	__u64 size;	/* bytes, a multiple of 2 MiB */
};

#define CKI_UAPI_SEGMENTS_MAX	32

/**
 * struct cki_create - CKI_CREATE_CONTAINER
 * @size:          in: of this structure
 * @flags:         in: 0
 * @memory_size:   in: bytes, a multiple of 2 MiB, not 0
 * @vcpus:         in: 1 to cki_info.vcpus_max
 * @abi_version:   in: CKI_ABI_VERSION that the launcher was built for
 * @segment_count: out: entries used in @segments
 * @reserved:      in: 0
 * @segments:      out: the memory, ascending by hpa. mmap offsets run through
 *                 the segments in this order, without gaps.
 *
 * Returns a new container descriptor (O_CLOEXEC). Errors: EINVAL (sizes,
 * flags), EPROTO (another ABI version), ENODEV (mode is none; the kernel log
 * and cki_info.missing say why), ENOSPC (the pool has not that much left, or
 * only in more than CKI_UAPI_SEGMENTS_MAX pieces), ENOMEM, EMFILE.
 */
struct cki_create {
	__u32 size;
	__u32 flags;
	__u64 memory_size;
	__u32 vcpus;
	__u32 abi_version;
	__u32 segment_count;
	__u32 reserved;
	struct cki_uapi_segment segments[CKI_UAPI_SEGMENTS_MAX];
};

/* Frames of a class other than Data; CLASS_* of the ABI. Lies in one segment. */
struct cki_uapi_class {
	__u64 hpa;
	__u64 size;
	__u32 class_;
	__u32 reserved;
};

/* One boot page table, to be checked and declared. */
struct cki_boot_table {
	__u64 hpa;	/* a frame of class Pt that the launcher has filled in */
	__u32 kind;	/* TABLE_L1 to TABLE_L4 (| TABLE_USER) of the ABI */
	__u32 reserved;
};

/* Frames of class Exec that the monitor is to scan and seal before the start. */
struct cki_seal {
	__u64 hpa;
	__u64 frames;
};

/**
 * struct cki_start - CKI_START
 * @size:        of this structure
 * @flags:       0
 * @start_info:  pointer to a struct cki_start_info of the ABI (8192 bytes).
 *               The module sets magic, abi_version, vcpus, segments, classes,
 *               their counts, clock_hpa, tsc_khz and boot_root_hpa itself and
 *               fills the seed if seed_size is 0; the rest is passed on.
 * @classes:     pointer to struct cki_uapi_class, ascending, disjoint
 * @seals:       pointer to struct cki_seal
 * @tables:      pointer to struct cki_boot_table, tables that others link to
 *               first
 * @class_count: entries, at most 64
 * @seal_count:  entries, at most 64
 * @table_count: entries, at most 65536
 * @reserved:    0
 * @root_hpa:    boot root, one of the tables of kind TABLE_L4
 * @entry:       virtual address of the first instruction
 *
 * After it, memory of the classes Pt, Exec and Ro can no longer be reached
 * through mmap: existing mappings of it are removed, access raises SIGBUS.
 * Everything is read before anything is done, so the lists may lie in the
 * container's own memory.
 *
 * Errors after which nothing has happened, and the call may be made again:
 * EFAULT, EINVAL, E2BIG, ENOMEM, ENOENT (vCPU 0 was not created). EBUSY: was
 * called before. Errors after which the container is dead and can only be
 * closed: EINTR (a signal), EIO (the monitor failed), ENXIO (KVM has this CPU
 * in VMX operation), EPERM (the monitor refused a table or a sealing;
 * @refusal_op and the others say what and why), ESHUTDOWN (CKI_KILL).
 *
 * @refusal_op:    out, with EPERM: OP_INIT, OP_SEAL, OP_ADOPT or OP_START
 * @refusal_error: out, with EPERM: E_* of the ABI
 * @refusal_index: out, with EPERM: index in @seals or @tables
 * @reserved2:     0
 */
struct cki_start {
	__u32 size;
	__u32 flags;
	__u64 start_info;
	__u64 classes;
	__u64 seals;
	__u64 tables;
	__u32 class_count;
	__u32 seal_count;
	__u32 table_count;
	__u32 reserved;
	__u64 root_hpa;
	__u64 entry;
	__u32 refusal_op;
	__u32 refusal_error;
	__u32 refusal_index;
	__u32 reserved2;
};

/**
 * struct cki_event - CKI_RAISE_EVENT
 * @vcpu:  number of the vCPU
 * @event: bit number, 0 to 63 (EVENT_* of the ABI)
 *
 * Sets the bit in the vCPU's events word and makes the vCPU look at it: wakes
 * it from its idle state, or interrupts it. May be called from any thread; a
 * bit that is set already stays set. Errors: ENOENT (no such vCPU), EINVAL.
 */
struct cki_event {
	__u32 vcpu;
	__u32 event;
};

/* Exit reasons, cki_run.exit_reason. */
#define CKI_RUN_INTR		0 /* signal, immediate_exit, work of the kernel: run again */
#define CKI_RUN_CONSOLE_WRITE	1 /* console: the bytes are at console.hpa */
#define CKI_RUN_CONSOLE_READ	2 /* console: put up to length bytes at console.hpa */
#define CKI_RUN_MMIO_READ	3 /* mmio */
#define CKI_RUN_MMIO_WRITE	4 /* mmio */
#define CKI_RUN_SHUTDOWN	5 /* shutdown; the container has ended */
#define CKI_RUN_PANIC		6 /* console: last words; the container has ended */
#define CKI_RUN_GUEST_FAULT	7 /* fault: the guest cannot go on; the container has ended */
#define CKI_RUN_MONITOR_FAULT	8 /* fault: the monitor ended the container */
#define CKI_RUN_MACHINE_CHECK	9 /* fault: its memory or CPU broke; the container has ended */

/**
 * struct cki_run - at offset 0 of the vCPU descriptor's mapping, 4096 bytes
 * @immediate_exit: in: not 0 makes CKI_RUN return at once with EINTR after it
 *                  has completed what the last exit asked for
 * @exit_reason:    out: CKI_RUN_*
 * @status:         in, after the exits 1 to 4: 0, or an error E_* of the ABI,
 *                  negated, that the guest gets
 * @value:          in, after the exits 1 to 4: bytes taken, bytes put there,
 *                  value read, 0
 *
 * HC_TIMER_SET, HC_IDLE, HC_YIELD and HC_EVENT_SEND never come out here.
 */
struct cki_run {
	__u8 immediate_exit;
	__u8 reserved[3];
	__u32 exit_reason;
	__s64 status;
	__u64 value;
	__u64 reserved2[5];
	union {
		/* 1, 2, 6: length bytes at hpa, in one frame of class Data;
		 * offset is the place in the container's mmap.
		 */
		struct {
			__u64 hpa;
			__u64 length;
			__u64 offset;
		} console;
		/* 3, 4: size is 1, 2, 4 or 8; device < device_count */
		struct {
			__u64 device;
			__u64 offset;
			__u64 size;
			__u64 value;
		} mmio;
		/* 5: SHUTDOWN_* and the guest's code */
		struct {
			__u64 reason;
			__u64 code;
		} shutdown;
		/* 7, 8, 9: vector, error code, RIP, CR2, RSP; the last call
		 * that the monitor refused: how many were, number, arguments,
		 * error (positive), return address. 9: vector is 18, cr2 the
		 * physical address that the machine reported, 0 if none.
		 * The host sends SIGBUS, too, as to any program whose memory
		 * breaks.
		 */
		struct {
			__u64 vector;
			__u64 error_code;
			__u64 rip;
			__u64 cr2;
			__u64 rsp;
			__u64 reserved;
			__u64 refusal_count;
			__u64 refusal_call;
			__u64 refusal_arguments[4];
			__u64 refusal_error;
			__u64 refusal_rip;
		} fault;
		__u64 padding[64];
	};
	/* How often the vCPU left the container, by reason; since the start. */
	__u64 exits_hypercall;
	__u64 exits_interrupt;
	__u64 exits_other;
	__u64 idle_ns;
	/* Calls of the monitor's gates: KSM_*, and returns by GATE_IRET; since the start. */
	__u64 monitor_calls;
	__u64 monitor_returns;
};

#define CKI_IOC	0xCB

/* System. Returns CKI_UAPI_VERSION of the module. Argument 0. */
#define CKI_GET_VERSION		_IO(CKI_IOC, 0x00)
/* System. */
#define CKI_GET_INFO		_IO(CKI_IOC, 0x01) /* struct cki_info * */
/* System. */
#define CKI_CREATE_CONTAINER	_IO(CKI_IOC, 0x02) /* struct cki_create * */

/* Container. Argument: number, 0 to vcpus - 1. Returns a vCPU descriptor
 * (O_CLOEXEC). Errors: EINVAL, EEXIST, EBUSY (after CKI_START or CKI_KILL),
 * ENOMEM, EMFILE.
 */
#define CKI_CREATE_VCPU		_IO(CKI_IOC, 0x20)
/* Container. */
#define CKI_START		_IO(CKI_IOC, 0x21) /* struct cki_start * */
/* Container. */
#define CKI_RAISE_EVENT		_IOW(CKI_IOC, 0x22, struct cki_event)
/* Container. Ends it: every CKI_RUN, now or later, fails with ESHUTDOWN. */
#define CKI_KILL		_IO(CKI_IOC, 0x23)

/* vCPU. Argument 0. Runs the guest until it needs the launcher. Returns 0 with
 * exit_reason set. Errors: EINTR (signal or immediate_exit), EBUSY (another
 * thread runs or starts it), ENXIO (KVM has this CPU in VMX operation),
 * ESHUTDOWN (the container has ended), ENOEXEC (CKI_START was not called, or
 * the vCPU has not been started).
 */
#define CKI_RUN			_IO(CKI_IOC, 0x40)
/* Bytes of the vCPU descriptor's mapping. */
#define CKI_RUN_SIZE		4096

#endif /* _UAPI_LINUX_CKI_H */

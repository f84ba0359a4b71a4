/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * /dev/cki: secure containers with a deprivileged guest kernel.
 *
 * Three kinds of file descriptors, as KVM has them:
 *
 * - system: `open("/dev/cki", O_RDWR | O_CLOEXEC)`
 * - container: CKI_CREATE_CONTAINER on the system descriptor
 * - vCPU: CKI_CREATE_VCPU on the container descriptor
 *
 * Life of a container: CKI_CREATE_CONTAINER takes memory from the pool and
 * zeroes it. The launcher mmaps the container descriptor, loads kernel, initrd
 * and boot page tables into the memory, and calls CKI_START, which fixes the
 * class of each frame. CKI_CREATE_VCPU, mmap of the run page, CKI_RUN in a
 * loop. Closing the last descriptor and unmapping the last mapping ends the
 * container and gives its memory back, zeroed, however the launcher ends.
 *
 * Common errors of all calls: ENOTTY (no such call on this descriptor), EFAULT
 * (bad pointer), EINVAL (a reserved field or unknown flag is not 0).
 *
 * A structure that begins with its size may grow at its end. The caller says
 * how long its own is; fields that it does not have count as 0. Errors: EINVAL
 * (shorter than its `CKI_*_SIZE_LEAST`), E2BIG (longer than the module knows, and
 * something there is not 0). The layouts are the same for 32-bit programs.
 *
 * Numbers of calls: type 0xCB, 0x40 to 0x6F, of which 0x40 on are the system
 * descriptor's, 0x50 on the container's, 0x60 on the vCPU's. No entry of Linux'
 * Documentation/userspace-api/ioctl/ioctl-number.rst has them (as of 6.12; of
 * type 0xCB, 0x00 to 0x1F are taken). A call whose structure may grow has
 * neither its size nor a direction in its number (_IO): these would change
 * with the structure, and an older module would not know the call. The others
 * with a structure are _IOW.
 */
/* Generated from the Rust crate cki-abi, which is the definition; do not edit. */
#ifndef _UAPI_LINUX_CKI_H
#define _UAPI_LINUX_CKI_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/cki_guest.h>

/* ---- Version, and the sizes of structures in the first version that has sizes ---- */
/* Version of this header; CKI_GET_VERSION returns the module's. A launcher refuses any other. */
#define CKI_UAPI_VERSION 4
/* Bytes of `struct cki_info`. */
#define CKI_INFO_SIZE_LEAST 56
/* Bytes of `struct cki_create`. */
#define CKI_CREATE_SIZE_LEAST 544
/* Bytes of `struct cki_start`. */
#define CKI_START_SIZE_LEAST 88

/* ---- What a machine provides: cki_info.mode ---- */
/* No container can run: see `missing`. */
#define CKI_MODE_NONE 0
/* PKS and the CKI extension: full isolation. */
#define CKI_MODE_CKI 1

/* ---- Why no container can run: bits of cki_info.missing ---- */
/* CPUID 7.0:ECX bit 31, protection keys for supervisor pages. */
#define CKI_MISSING_PKS 1
/* CPUID 434b4901H:EAX bit 0, the CKI extension, or version 2 of it. */
#define CKI_MISSING_EXTENSION 2
/*
 * NX, SMEP, SMAP, UMIP, FSGSBASE, XSAVE, or a stable TSC; or it has what it must not: state that guests would
 * not switch (AMX tiles), the iTLB multihit bug.
 */
#define CKI_MISSING_CPU 4
/* The monitor; or the file is not the one that the module was built with. */
#define CKI_MISSING_MONITOR 8
/* pool= of the module is 0, or nothing was left. */
#define CKI_MISSING_POOL 16
/* 5-level paging, FRED, memory encryption, Xen or broadcast TLB flushes are in the way, or PKS is in use. */
#define CKI_MISSING_KERNEL 32
/* KVM has the CPUs in VMX operation, at this moment. */
#define CKI_MISSING_VMX 64
/* The CPU has L1TF or Meltdown: a guest kernel could read the host's memory. */
#define CKI_MISSING_NO_LEAKS 128

/* ---- What CKI_START takes at most ---- */
/* Entries of `seals`. */
#define CKI_SEALS_MAX 64
/* Entries of `tables`. */
#define CKI_BOOT_TABLES_MAX 0x10000

/* ---- Eventfds of a container ---- */
/* Flag of CKI_IOEVENTFD: what is written has to be `value`. */
#define CKI_IOEVENTFD_VALUE 1
/* CKI_IOEVENTFD, and CKI_IRQFD, of a container at most. */
#define CKI_EVENTFDS_MAX 64

/* ---- The run page ---- */
/* Bytes of the vCPU descriptor's mapping. */
#define CKI_RUN_SIZE 0x1000

/* ---- Why CKI_RUN returned: cki_run.exit_reason ---- */
/* A signal, immediate_exit, or work of the kernel: run again. */
#define CKI_EXIT_INTR 0
/* `console`: the bytes are at its hpa. */
#define CKI_EXIT_CONSOLE_WRITE 1
/* `console`: put up to its length bytes at its hpa. */
#define CKI_EXIT_CONSOLE_READ 2
/* `mmio`. */
#define CKI_EXIT_MMIO_READ 3
/* `mmio`. */
#define CKI_EXIT_MMIO_WRITE 4
/* `shutdown`; the container has ended. */
#define CKI_EXIT_SHUTDOWN 5
/* `console`: last words; the container has ended. */
#define CKI_EXIT_PANIC 6
/* `fault`: the guest cannot go on; the container has ended. */
#define CKI_EXIT_GUEST_FAULT 7
/* `fault`: the monitor ended the container. */
#define CKI_EXIT_MONITOR_FAULT 8
/* `fault`: its memory or CPU broke; the container has ended. */
#define CKI_EXIT_MACHINE_CHECK 9

/* ---- Numbers of the calls ---- */
/* Type of all of them; see above for the numbers. */
#define CKI_IOC 203

/* ---- Structures ---- */

/* CKI_GET_INFO. */
struct cki_info {
	/* In: of the caller's structure. Out: of the module's. */
	__u32 size;
	/* CKI_MODE_*. */
	__u32 mode;
	/* CKI_MISSING_*, 0 unless `mode` is CKI_MODE_NONE. */
	__u32 missing;
	/* CKI_ABI_VERSION of module and monitor. */
	__u32 abi_version;
	/* vCPUs that a container can have. */
	__u32 vcpus_max;
	/* Number of containers now. */
	__u32 containers;
	/* Bytes of the pool, used or not. */
	__u64 pool_size;
	/* Bytes that a new container can have. */
	__u64 pool_free;
	/* Frequency of the time-stamp counter, kHz. */
	__u64 tsc_khz;
	/*
	 * Pages of 4 KiB that the monitors of all containers take, with page tables and frame words; outside of the
	 * pool.
	 */
	__u32 monitor_pages;
	/* Out: 0. */
	__u32 reserved;
};

/*
 * CKI_CREATE_CONTAINER. Returns a new container descriptor (O_CLOEXEC).
 *
 * Errors: EINVAL (sizes, flags), EPROTO (another ABI version), ENODEV (mode is none; the kernel log
 * and cki_info.missing say why), ENOSPC (the pool has not that much left, or only in more than
 * CKI_SEGMENTS_MAX pieces), ENOMEM, EMFILE.
 */
struct cki_create {
	/* In: of this structure. */
	__u32 size;
	/* In: 0. */
	__u32 flags;
	/* In: bytes, a multiple of 2 MiB, not 0. */
	__u64 memory_size;
	/* In: 1 to cki_info.vcpus_max. */
	__u32 vcpus;
	/* In: CKI_ABI_VERSION that the caller was built for. */
	__u32 abi_version;
	/* Out: entries used in `segments`. */
	__u32 segment_count;
	/* In: 0. */
	__u32 reserved;
	/* Out: the memory, ascending. mmap offsets run through the segments in this order, without gaps. */
	struct cki_segment segments[32];
};

/*
 * CKI_RAISE_EVENT: sets a bit in a vCPU's events word and makes the vCPU look at it: wakes it from its idle
 * state, or interrupts it. May be called from any thread; a bit that is set already stays set.
 *
 * Errors: ENOENT (no such vCPU), EINVAL.
 */
struct cki_event {
	/* Number of the vCPU. */
	__u32 vcpu;
	/* Bit number, 0 to 63 (CKI_EVENT_*). */
	__u32 event;
};

/*
 * CKI_IOEVENTFD: from now on, a write of the guest's to a register of a device signals an eventfd, and the vCPU
 * goes on; it is no CKI_EXIT_MMIO_WRITE any more. It stays so until the container is gone, which keeps the
 * eventfd, though not its descriptor, for as long. A counter that cannot become larger stays as it is.
 *
 * Errors: EBADF (no such descriptor), EINVAL (no eventfd, or something is not as said here), EEXIST (another one
 * has such writes), EBUSY (after CKI_START or CKI_KILL), ENOSPC (there are CKI_EVENTFDS_MAX), ENOMEM.
 */
struct cki_ioeventfd {
	/* A descriptor of an eventfd. */
	__u32 fd;
	/* 0 or CKI_IOEVENTFD_VALUE. */
	__u32 flags;
	/* Number of the device, less than CKI_DEVICES_MAX. */
	__u32 device;
	/* Bytes that the guest writes: 1, 2, 4 or 8. */
	__u32 size;
	/* Where, in bytes: less than 4096. */
	__u64 offset;
	/* With CKI_IOEVENTFD_VALUE what it writes, in as many bytes; otherwise 0. */
	__u64 value;
};

/*
 * CKI_IRQFD: from now on, a signal of an eventfd does what CKI_RAISE_EVENT does, whoever signals it, and takes
 * its counter back. It stays so until the container is gone, which keeps the eventfd, though not its descriptor,
 * for as long. One eventfd may raise several events; nobody but the module sees its signals any more, and one of
 * EFD_SEMAPHORE keeps what is more than 1.
 *
 * Errors: EBADF (no such descriptor), EINVAL (no eventfd; flags; event), ENOENT (no such vCPU), EEXIST (it raises
 * that event already), EBUSY (after CKI_START or CKI_KILL), ENOSPC (there are CKI_EVENTFDS_MAX), ENOMEM.
 */
struct cki_irqfd {
	/* A descriptor of an eventfd. */
	__u32 fd;
	/* 0. */
	__u32 flags;
	/* Number of the vCPU. */
	__u32 vcpu;
	/* Bit number, 0 to 63 (CKI_EVENT_*). */
	__u32 event;
};

/* One boot page table, to be checked and declared. */
struct cki_boot_table {
	/* A frame of class Pt that the launcher has filled in. */
	__u64 hpa;
	/* CKI_TABLE_L1 to CKI_TABLE_L4, perhaps with CKI_TABLE_USER. */
	__u32 kind;
	/* 0. */
	__u32 reserved;
};

/* Frames of class Exec that the monitor is to scan and seal before the start. */
struct cki_seal {
	/* The first one. */
	__u64 hpa;
	/* How many. */
	__u64 frames;
};

/*
 * CKI_START.
 *
 * After it, memory of the classes Pt, Exec and Ro can no longer be reached through mmap: existing
 * mappings of it are removed, access raises SIGBUS. Everything is read before anything is done, so the
 * lists may lie in the container's own memory.
 *
 * Errors after which nothing has happened, and the call may be made again: EFAULT, EINVAL, E2BIG, ENOMEM,
 * ENOENT (vCPU 0 was not created). EBUSY: was called before. Errors after which the container is dead and
 * can only be closed: EINTR (a signal), EIO (the monitor failed), ENXIO (KVM has this CPU in VMX
 * operation), EPERM (the monitor refused a table or a sealing; `refusal_op` and the others say what and
 * why), ESHUTDOWN (CKI_KILL).
 */
struct cki_start {
	/* Of this structure. */
	__u32 size;
	/* 0. */
	__u32 flags;
	/*
	 * Pointer to a `struct cki_start_info`. The module sets magic, abi_version, vcpus, segments, classes, their
	 * counts, clock_hpa, tsc_khz and boot_root_hpa itself and fills the seed if seed_size is 0; the
	 * rest is passed on.
	 */
	__u64 start_info;
	/* Pointer to `struct cki_class_range`, ascending, disjoint: frames that are not Data. */
	__u64 classes;
	/* Pointer to `struct cki_seal`. */
	__u64 seals;
	/* Pointer to `struct cki_boot_table`, tables that others link to first. */
	__u64 tables;
	/* Entries, at most CKI_CLASS_RANGES_MAX. */
	__u32 class_count;
	/* Entries, at most CKI_SEALS_MAX. */
	__u32 seal_count;
	/* Entries, at most CKI_BOOT_TABLES_MAX. */
	__u32 table_count;
	/* 0. */
	__u32 reserved;
	/* Boot root, one of the tables of kind CKI_TABLE_L4. */
	__u64 root_hpa;
	/* Virtual address of the first instruction. */
	__u64 entry;
	/* In: 0. Out, with EPERM: CKI_OP_INIT, CKI_OP_SEAL, CKI_OP_ADOPT or CKI_OP_START. */
	__u32 refusal_op;
	/* In: 0. Out, with EPERM: CKI_E_*. */
	__u32 refusal_error;
	/* In: 0. Out, with EPERM: index in `seals` or `tables`. */
	__u32 refusal_index;
	/* 0. */
	__u32 reserved2;
};

/* Bytes in one frame of class Data. The guest chose them, the module has checked them. */
struct cki_run_console {
	/* Host-physical address. */
	__u64 hpa;
	/* Bytes; 0 if a panic's last words cannot be read. */
	__u64 length;
	/* Place of `hpa` in the container's mmap. */
	__u64 offset;
};

/* Access to a register. */
struct cki_run_mmio {
	/* Less than start_info.device_count. */
	__u64 device;
	/* Byte offset, less than 4096. */
	__u64 offset;
	/* 1, 2, 4 or 8. */
	__u64 size;
	/* What to write. */
	__u64 value;
};

/* How the guest ended itself. */
struct cki_run_shutdown {
	/* CKI_SHUTDOWN_*, or whatever the guest said. */
	__u64 reason;
	/* The guest's own. */
	__u64 code;
};

/*
 * What is known of a container that cannot go on.
 *
 * After CKI_EXIT_MACHINE_CHECK, `vector` is 18 and `cr2` the physical address that the machine reported, 0 if
 * none; the host sends SIGBUS, too, as to any program whose memory breaks.
 */
struct cki_run_fault {
	/* Of the exception, or CKI_FAULT_*. */
	__u64 vector;
	/* Its error code. */
	__u64 error_code;
	/* Where. */
	__u64 rip;
	/* Address of a page fault. */
	__u64 cr2;
	/* Stack. */
	__u64 rsp;
	/* 0. */
	__u64 reserved;
	/* The last call that the monitor refused. */
	struct cki_refusal refusal;
};

/*
 * At offset 0 of the vCPU descriptor's mapping. HC_TIMER_SET, HC_IDLE, HC_YIELD and HC_EVENT_SEND never come out
 * here.
 *
 * The counts are since the start, and only grow, but for page_table_frames_used. Nothing of the guest's reaches
 * them, and no other container's launcher this page. Those of the monitor and page_table_frames_used are as they
 * were when the container last left for a physical interrupt or HC_IDLE, or CKI_RUN returned.
 */
struct cki_run {
	/* In: not 0 makes CKI_RUN return at once with EINTR after it has completed what the last exit asked for. */
	__u8 immediate_exit;
	/* 0. */
	__u8 reserved[3];
	/* Out: CKI_EXIT_INTR to CKI_EXIT_MACHINE_CHECK. */
	__u32 exit_reason;
	/* In, after the exits 1 to 4: 0, or an error CKI_E_*, negated, that the guest gets. */
	__s64 status;
	/* In, after the exits 1 to 4: bytes taken, bytes put there, value read, 0. */
	__u64 value;
	/* 0. */
	__u64 reserved2[5];
	/* Out: what goes with `exit_reason`. */
	union {
		/* CKI_EXIT_CONSOLE_WRITE, CKI_EXIT_CONSOLE_READ, CKI_EXIT_PANIC. */
		struct cki_run_console console;
		/* CKI_EXIT_MMIO_READ, CKI_EXIT_MMIO_WRITE. */
		struct cki_run_mmio mmio;
		/* CKI_EXIT_SHUTDOWN. */
		struct cki_run_shutdown shutdown;
		/* CKI_EXIT_GUEST_FAULT, CKI_EXIT_MONITOR_FAULT, CKI_EXIT_MACHINE_CHECK. */
		struct cki_run_fault fault;
		__u64 detail[64];
	};
	/* How often the vCPU has left the container for a hypercall, since the start, */
	__u64 exits_hypercall;
	/* for a physical interrupt, */
	__u64 exits_interrupt;
	/* and otherwise. */
	__u64 exits_other;
	/* Nanoseconds spent idle. */
	__u64 idle_ns;
	/* Calls of the monitor, CKI_KSM_*, since the start. */
	__u64 monitor_calls;
	/* Returns by its GATE_IRET. */
	__u64 monitor_returns;
	/* Calls and returns that it has refused. */
	__u64 monitor_refusals;
	/* World switches into the container, those of CKI_START among them. */
	__u64 entries;
	/* Of exits_other: NMIs of the host, */
	__u64 exits_nmi;
	/* and machine checks. */
	__u64 exits_machine_check;
	/* Of exits_hypercall: HC_CONSOLE_WRITE, HC_CONSOLE_READ and HC_PANIC, */
	__u64 hypercalls_console;
	/* HC_TIMER_SET, */
	__u64 hypercalls_timer_set;
	/* HC_IDLE, */
	__u64 hypercalls_idle;
	/* HC_YIELD, */
	__u64 hypercalls_yield;
	/* HC_MMIO_READ, */
	__u64 hypercalls_mmio_read;
	/* HC_MMIO_WRITE, */
	__u64 hypercalls_mmio_write;
	/* and HC_EVENT_SEND. */
	__u64 hypercalls_event_send;
	/* Frames of class Pt that the container has, from CKI_START on. */
	__u64 page_table_frames;
	/*
	 * Those of them that are page tables now, as far as they became or ceased to be one on this vCPU: the sum over
	 * all vCPUs, modulo 2^64, is the container's.
	 */
	__u64 page_table_frames_used;
};

/* ---- Calls ---- */
/* System. Returns CKI_UAPI_VERSION of the module. Argument 0. */
#define CKI_GET_VERSION _IO(CKI_IOC, 0x40)
/* System. `struct cki_info *`. */
#define CKI_GET_INFO _IO(CKI_IOC, 0x41)
/* System. `struct cki_create *`. */
#define CKI_CREATE_CONTAINER _IO(CKI_IOC, 0x42)
/*
 * Container. Argument: number, 0 to vcpus - 1. Returns a vCPU descriptor (O_CLOEXEC). Errors: EINVAL, EEXIST,
 * EBUSY (after CKI_START or CKI_KILL), ENOMEM, EMFILE.
 */
#define CKI_CREATE_VCPU _IO(CKI_IOC, 0x50)
/* Container. `struct cki_start *`. */
#define CKI_START _IO(CKI_IOC, 0x51)
/* Container. `struct cki_event *`. */
#define CKI_RAISE_EVENT _IOW(CKI_IOC, 0x52, struct cki_event)
/*
 * Container. Ends it: every later CKI_RUN fails with ESHUTDOWN; one that is under way returns, with that error or
 * with an exit that it had come to. Argument 0.
 */
#define CKI_KILL _IO(CKI_IOC, 0x53)
/* Container. `struct cki_ioeventfd *`. */
#define CKI_IOEVENTFD _IOW(CKI_IOC, 0x54, struct cki_ioeventfd)
/* Container. `struct cki_irqfd *`. */
#define CKI_IRQFD _IOW(CKI_IOC, 0x55, struct cki_irqfd)
/*
 * vCPU. Argument 0. Runs the guest until it needs the launcher. Returns 0 with exit_reason set. Errors:
 * EINTR (signal or immediate_exit), EBUSY (another thread runs or starts it), ENXIO (KVM has this CPU in VMX
 * operation), ESHUTDOWN (the container has ended), ENOEXEC (CKI_START was not called, or the vCPU has not
 * been started), EINVAL (the thread has had CPUID taken from itself: ARCH_SET_CPUID).
 */
#define CKI_RUN _IO(CKI_IOC, 0x60)

#endif /* _UAPI_LINUX_CKI_H */

/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What a launcher has to know of a CKI guest and its monitor. Generated from
 * the Rust crate cki-abi, which is the definition; do not edit. For C, which C++
 * is not (a member is called class), and for assembler.
 */
#ifndef _UAPI_LINUX_CKI_GUEST_H
#define _UAPI_LINUX_CKI_GUEST_H

#ifdef __ASSEMBLER__
#define CKI_U64(x) x
#else
#define CKI_U64(x) x##ULL
#endif

/* ---- Version ---- */
/*
 * Version of everything in this header. Module, monitor, launcher and guest refuse to work
 * with a part that states another.
 */
#define CKI_ABI_VERSION CKI_U64(3)
/* First eight bytes of `struct cki_start_info`: "CKISTART" in memory order. */
#define CKI_START_INFO_MAGIC CKI_U64(0x5452415453494b43)
/* First eight bytes of `struct cki_monitor_boot`: "CKIKSMBT" in memory order. */
#define CKI_MONITOR_BOOT_MAGIC CKI_U64(0x54424d534b494b43)

/* ---- Limits ---- */
/* Bytes of a frame: 4 KiB, the unit of classes, tables and refcounts. */
#define CKI_FRAME_SIZE CKI_U64(0x1000)
/* Bytes of a chunk: 2 MiB, the unit of delegation. Segments are multiples of it, aligned to it. */
#define CKI_CHUNK_SIZE CKI_U64(0x200000)
/* Frames in a chunk. */
#define CKI_CHUNK_FRAMES CKI_U64(512)
/* Segments that a container has at most. */
#define CKI_SEGMENTS_MAX CKI_U64(32)
/* Class ranges at most. What no range names is Data. */
#define CKI_CLASS_RANGES_MAX CKI_U64(64)
/* Ranges of shared read-only frames at most. */
#define CKI_SHARED_RANGES_MAX CKI_U64(8)
/* Frames of all segments together at most (256 GiB: the size of the monitor's direct map). */
#define CKI_FRAMES_MAX CKI_U64(0x4000000)
/* vCPUs of a container that the layout has room for. */
#define CKI_VCPUS_MAX CKI_U64(64)
/* vCPUs that a container may have. Module and monitor refuse more. */
#define CKI_VCPUS_SUPPORTED CKI_U64(1)
/*
 * Updates in one KSM_ENTRY_BATCH at most. The list is 16 bytes an update, lies in one frame
 * and is copied once, before any of it is looked at.
 */
#define CKI_BATCH_MAX CKI_U64(32)
/* Bytes in one KSM_TEXT_POKE at most. */
#define CKI_POKE_MAX CKI_U64(512)
/* Frames that one KSM_EXEC_SEAL may name. */
#define CKI_SEAL_MAX CKI_U64(16)
/* Returns to user mode that KSM_RETURN_SET can name: one by SYSRET, one by IRETQ. */
#define CKI_RETURNS_MAX CKI_U64(2)
/* Entries of a table that may still refer to tables when it is released. */
#define CKI_RELEASE_LINKS_MAX CKI_U64(128)
/*
 * PCIDs that a guest can name at most, if the CPU has any: 0 to PCIDS_MAX - 1. The monitor adds the base
 * that the host gave it, so that no guest shares a tag with the host or another container.
 */
#define CKI_PCIDS_MAX CKI_U64(8)
/* Event bits of a vCPU. */
#define CKI_EVENTS_MAX CKI_U64(64)
/* Inter-processor events of a vCPU: bits EVENT_IPI and on. */
#define CKI_IPI_EVENTS CKI_U64(8)
/*
 * Frames for page tables that a guest kernel keeps books of at most: 512 MiB, which map FRAMES_MAX in 4 KiB
 * pages.
 */
#define CKI_PT_FRAMES_MAX CKI_U64(0x20000)
/* Bytes of the command line, with its terminating zero. */
#define CKI_COMMAND_LINE_SIZE CKI_U64(0x800)
/* virtio-mmio devices at most. */
#define CKI_DEVICES_MAX CKI_U64(32)

/* ---- Frame classes ---- */
/* Ordinary memory: the guest reads and writes it. Never executable at CPL 0, never a table. */
#define CKI_CLASS_DATA CKI_U64(1)
/* Page tables: the guest maps it read-only; the monitor writes it. */
#define CKI_CLASS_PT CKI_U64(2)
/*
 * Guest kernel text: mapped read-only, executable at CPL 0 once sealed. Written by the
 * host before the start and by KSM_TEXT_POKE.
 */
#define CKI_CLASS_EXEC CKI_U64(3)
/* Read-only data: never written after the start, never executable at CPL 0. */
#define CKI_CLASS_RO CKI_U64(4)

/* ---- Errors (results are negated) ---- */
/* No such call number. */
#define CKI_E_CALL CKI_U64(1)
/* An argument is malformed: misaligned, unknown flag bits, beyond a documented range. */
#define CKI_E_ARGUMENT CKI_U64(2)
/* I1: a frame named or mapped lies outside of the container's segments. */
#define CKI_E_RANGE CKI_U64(3)
/*
 * I2: the frame's class does not allow it (a writable mapping of Pt, Exec or Ro; a superpage
 * of mixed classes; a table in a frame that is not Pt).
 */
#define CKI_E_CLASS CKI_U64(4)
/*
 * I3: the entry would make something other than sealed Exec executable at CPL 0, or a user
 * table's entry lacks U = 1.
 */
#define CKI_E_EXECUTE CKI_U64(5)
/* I4: the frame is not (or is already) a table of the level and half needed. */
#define CKI_E_TYPE CKI_U64(6)
/* I5: slot 256, or the frame is no root. */
#define CKI_E_ROOT CKI_U64(7)
/* I6: the bytes would let WRPKRS be fetched. */
#define CKI_E_GADGET CKI_U64(8)
/* I8: the guest may not return to the state in `vcpu_info.iret`. */
#define CKI_E_RETURN CKI_U64(9)
/*
 * The entry sets a bit that guests may not: reserved, G, PAT, PCD, PWT, PS at level 3, ignored
 * bits 59 to 62 of a table entry, or low address bits of a superpage.
 */
#define CKI_E_BITS CKI_U64(10)
/* The entry's protection key is not 0 on a supervisor page. */
#define CKI_E_KEY CKI_U64(11)
/* I4: the table is still linked or loaded, or has too many links itself. */
#define CKI_E_BUSY CKI_U64(12)
/*
 * I4: the frame was a table of another kind, and some vCPU has not flushed since. Call
 * KSM_FLUSH with FLUSH_EVERYWHERE and try again.
 */
#define CKI_E_STALE CKI_U64(13)
/* KSM_ENTRY_COMPARE_EXCHANGE: the entry did not hold the expected value. Nothing was written. */
#define CKI_E_CHANGED CKI_U64(14)
/* A counter is full (references of a table: 2^32 - 1). */
#define CKI_E_LIMIT CKI_U64(15)
/* The address is not canonical, or lies in slot 256. */
#define CKI_E_ADDRESS CKI_U64(16)
/*
 * The call is not available now (a vCPU without its `struct cki_vcpu_info`, or one that does
 * not run).
 */
#define CKI_E_STATE CKI_U64(17)
/* The host failed or denied the hypercall. */
#define CKI_E_HOST CKI_U64(18)
/* The monitor found its own state inconsistent. The container is ended; no call sees this. */
#define CKI_E_MONITOR CKI_U64(19)

/* ---- Arguments of KSM calls ---- */
/* KSM_TABLE_DECLARE: page table, entries map 4 KiB. */
#define CKI_TABLE_L1 CKI_U64(1)
/* KSM_TABLE_DECLARE: page directory, entries map 2 MiB or link L1. */
#define CKI_TABLE_L2 CKI_U64(2)
/* KSM_TABLE_DECLARE: page-directory-pointer table, entries link L2 (1 GiB pages are refused). */
#define CKI_TABLE_L3 CKI_U64(3)
/* KSM_TABLE_DECLARE: PML4, a root. */
#define CKI_TABLE_L4 CKI_U64(4)
/*
 * KSM_TABLE_DECLARE: the table serves slots 0 to 255; all its entries have U = 1. Without:
 * slots 257 to 511.
 */
#define CKI_TABLE_USER CKI_U64(16)
/*
 * KSM_ENTRY_CLEAR: bits that may be cleared: RW, A, D and the software bits 9 to 11 and 52
 * to 58. Clearing any of them never adds a right.
 */
#define CKI_ENTRY_CLEARABLE CKI_U64(0x7f0000000000e62)
/* KSM_ROOT_LOAD: keep what is cached for the PCID. */
#define CKI_ROOT_NO_FLUSH CKI_U64(0x8000000000000000)
/* KSM_FLUSH: one PCID of this vCPU. */
#define CKI_FLUSH_PCID CKI_U64(0)
/* KSM_FLUSH: everything on this vCPU. */
#define CKI_FLUSH_ALL CKI_U64(1)
/* KSM_FLUSH: everything on all vCPUs. */
#define CKI_FLUSH_EVERYWHERE CKI_U64(2)

/* ---- Arguments of hypercalls; bit numbers in events ---- */
/* HC_SHUTDOWN: power off; code is PID 1's exit status. */
#define CKI_SHUTDOWN_POWEROFF CKI_U64(0)
/* HC_SHUTDOWN: restart asked for; the launcher decides. */
#define CKI_SHUTDOWN_REBOOT CKI_U64(1)
/* HC_SHUTDOWN: the guest kernel panicked. */
#define CKI_SHUTDOWN_PANIC CKI_U64(2)
/* Event: the timer of HC_TIMER_SET. */
#define CKI_EVENT_TIMER CKI_U64(0)
/* Event: the console has input. */
#define CKI_EVENT_CONSOLE CKI_U64(1)
/* Event: first of IPI_EVENTS inter-processor events whose meaning is the guest's. */
#define CKI_EVENT_IPI CKI_U64(8)
/* Event: interrupt of virtio-mmio device n is EVENT_DEVICE + n. */
#define CKI_EVENT_DEVICE CKI_U64(16)

/* ---- ELF note types of a guest kernel (owner "CKI") ---- */
/* (version): ABI_VERSION that the kernel was built for. */
#define CKI_NOTE_ABI_VERSION CKI_U64(1)
/* (address): virtual address of startup_cki. */
#define CKI_NOTE_ENTRY CKI_U64(2)
/* (start, end): page-aligned physical (p_paddr) range of the image's static page tables: Pt. */
#define CKI_NOTE_PT_RANGE CKI_U64(3)
/* (start, end): such a range of kernel text: Exec. */
#define CKI_NOTE_EXEC_RANGE CKI_U64(4)
/* (start, end): such a range of constants: Ro. Optional. */
#define CKI_NOTE_RO_RANGE CKI_U64(5)
/*
 * (address): virtual address that hpa 0 appears at in the guest's direct map; the loader maps
 * all segments there. Linux: 0xffff888000000000.
 */
#define CKI_NOTE_DIRECT_MAP CKI_U64(6)

/* ---- Module and monitor: operations and exits in struct cki_vcpu_switch ---- */
/*
 * Operation -> value = frames left: check BOOT_INFO and set up some of the frame table. On vCPU 0,
 * before any other, again and again until nothing is left. Errors: E_ARGUMENT (also for more vCPUs than
 * VCPUS_SUPPORTED), E_LIMIT, E_STATE.
 */
#define CKI_OP_INIT CKI_U64(1)
/*
 * Operation (hpa, frames) -> value = frames now sealed: as KSM_EXEC_SEAL, for the image that was
 * loaded.
 */
#define CKI_OP_SEAL CKI_U64(2)
/*
 * Operation (hpa, kind) -> value = what is left of it: as KSM_TABLE_DECLARE for a boot page table, but its
 * contents stay and are checked like 512 updates, some at a time: again and again until nothing is left.
 * Tables linked by others come first. Errors: also those of KSM_ENTRY_SET.
 */
#define CKI_OP_ADOPT CKI_U64(3)
/* Operation (root, rip, rsp, rdi): makes the vCPU ready to start there at CPL 0. */
#define CKI_OP_START CKI_U64(4)
/* Operation: run the guest until the next exit. */
#define CKI_OP_RUN CKI_U64(5)
/* Exit: the operation is done; `status` has the result. */
#define CKI_KSM_EXIT_DONE CKI_U64(0)
/*
 * Exit: hypercall; number in `exit_arguments[0]`, arguments in [1..4]. `status` and `value`
 * become rax and rdx at the next OP_RUN.
 */
#define CKI_KSM_EXIT_HYPERCALL CKI_U64(1)
/* Exit: physical interrupt, vector in `exit_arguments[0]`; the host handles it. */
#define CKI_KSM_EXIT_INTERRUPT CKI_U64(2)
/* Exit: NMI. */
#define CKI_KSM_EXIT_NMI CKI_U64(3)
/* Exit: machine check. If it struck the monitor itself (`exit_arguments[1]` is 1), the container is dead. */
#define CKI_KSM_EXIT_MACHINE_CHECK CKI_U64(4)
/*
 * Exit: the guest cannot go on: an exception without a handler, #DF, or FAULT_*. Vector, error code,
 * RIP, CR2, RSP in `exit_arguments`.
 */
#define CKI_KSM_EXIT_GUEST_FAULT CKI_U64(5)
/*
 * Exit: the monitor found itself inconsistent or faulted; the container is dead. Vector or FAULT_*,
 * error code, RIP, CR2 in `exit_arguments`.
 */
#define CKI_KSM_EXIT_MONITOR_FAULT CKI_U64(6)

/* ---- Faults that are no exceptions: vector of KSM_EXIT_GUEST_FAULT and KSM_EXIT_MONITOR_FAULT ---- */
/* Of the guest: a WRPKRS of a gate was reached otherwise than through the gate. */
#define CKI_FAULT_GATE_MISUSED CKI_U64(256)
/* Of the guest: it has no handler for what must be delivered. */
#define CKI_FAULT_NO_HANDLER CKI_U64(257)
/* Of the monitor: a panic. RIP is the line. */
#define CKI_FAULT_PANIC CKI_U64(258)
/*
 * Of the monitor: its bookkeeping contradicts itself. The error code is the call's number, RIP its return
 * address.
 */
#define CKI_FAULT_INCONSISTENT CKI_U64(259)
/* Of the monitor: it was entered on a CPU whose control registers are not as it needs them. */
#define CKI_FAULT_NOT_PINNED CKI_U64(260)
/* Of the monitor: another vCPU has ended the container, or has not come back with the lock. */
#define CKI_FAULT_POISONED CKI_U64(261)

/* ---- Sizes of the structures and offsets of their members ---- */
#define CKI_SIZEOF_SEGMENT 16
#define CKI_OFFSETOF_SEGMENT_BASE 0
#define CKI_OFFSETOF_SEGMENT_SIZE 8
#define CKI_SIZEOF_CLASS_RANGE 24
#define CKI_OFFSETOF_CLASS_RANGE_BASE 0
#define CKI_OFFSETOF_CLASS_RANGE_SIZE 8
#define CKI_OFFSETOF_CLASS_RANGE_CLASS 16
#define CKI_OFFSETOF_CLASS_RANGE_RESERVED 20
#define CKI_SIZEOF_START_INFO 8192
#define CKI_OFFSETOF_START_INFO_MAGIC 0
#define CKI_OFFSETOF_START_INFO_ABI_VERSION 8
#define CKI_OFFSETOF_START_INFO_VCPUS 12
#define CKI_OFFSETOF_START_INFO_SEGMENT_COUNT 16
#define CKI_OFFSETOF_START_INFO_CLASS_COUNT 20
#define CKI_OFFSETOF_START_INFO_PHYS_BASE 24
#define CKI_OFFSETOF_START_INFO_IMAGE_HPA 32
#define CKI_OFFSETOF_START_INFO_IMAGE_SIZE 40
#define CKI_OFFSETOF_START_INFO_INITRD_HPA 48
#define CKI_OFFSETOF_START_INFO_INITRD_SIZE 56
#define CKI_OFFSETOF_START_INFO_BOOT_ROOT_HPA 64
#define CKI_OFFSETOF_START_INFO_BOOT_TABLES_HPA 72
#define CKI_OFFSETOF_START_INFO_BOOT_TABLES_SIZE 80
#define CKI_OFFSETOF_START_INFO_DIRECT_MAP 88
#define CKI_OFFSETOF_START_INFO_CLOCK_HPA 96
#define CKI_OFFSETOF_START_INFO_TSC_KHZ 104
#define CKI_OFFSETOF_START_INFO_DEVICE_COUNT 112
#define CKI_OFFSETOF_START_INFO_PCIDS 116
#define CKI_OFFSETOF_START_INFO_SEED_SIZE 120
#define CKI_OFFSETOF_START_INFO_SEED 128
#define CKI_OFFSETOF_START_INFO_RESERVED2 192
#define CKI_OFFSETOF_START_INFO_SEGMENTS 256
#define CKI_OFFSETOF_START_INFO_CLASSES 768
#define CKI_OFFSETOF_START_INFO_COMMAND_LINE 2304
#define CKI_OFFSETOF_START_INFO_PADDING 4352
#define CKI_SIZEOF_REFUSAL 64
#define CKI_OFFSETOF_REFUSAL_COUNT 0
#define CKI_OFFSETOF_REFUSAL_CALL 8
#define CKI_OFFSETOF_REFUSAL_ARGUMENTS 16
#define CKI_OFFSETOF_REFUSAL_ERROR 48
#define CKI_OFFSETOF_REFUSAL_RIP 56

#ifndef __ASSEMBLER__

#include <linux/types.h>

/* A host-physically contiguous range of the container's memory. */
struct cki_segment {
	/* Host-physical address, a multiple of CHUNK_SIZE. */
	__u64 base;
	/* Bytes, a multiple of CHUNK_SIZE, not 0. */
	__u64 size;
};
_Static_assert(sizeof(struct cki_segment) == 16, "cki_segment");
_Static_assert(__builtin_offsetof(struct cki_segment, base) == 0, "cki_segment.base");
_Static_assert(__builtin_offsetof(struct cki_segment, size) == 8, "cki_segment.size");

/* A range of frames of one class other than Data. */
struct cki_class_range {
	/* Host-physical address, a multiple of FRAME_SIZE. */
	__u64 base;
	/* Bytes, a multiple of FRAME_SIZE, not 0. The range lies in one segment. */
	__u64 size;
	/* CLASS_PT, CLASS_EXEC or CLASS_RO. */
	__u32 class;
	/* 0. */
	__u32 reserved;
};
_Static_assert(sizeof(struct cki_class_range) == 24, "cki_class_range");
_Static_assert(__builtin_offsetof(struct cki_class_range, base) == 0, "cki_class_range.base");
_Static_assert(__builtin_offsetof(struct cki_class_range, size) == 8, "cki_class_range.size");
_Static_assert(__builtin_offsetof(struct cki_class_range, class) == 16, "cki_class_range.class");
_Static_assert(__builtin_offsetof(struct cki_class_range, reserved) == 20, "cki_class_range.reserved");

/* At START_INFO; read-only for the guest and fixed after the start. */
struct cki_start_info {
	/* START_INFO_MAGIC. */
	__u64 magic;
	/* ABI_VERSION. */
	__u32 abi_version;
	/* vCPUs of the container, 1 to VCPUS_SUPPORTED. vCPU 0 starts. */
	__u32 vcpus;
	/* Entries used in `segments`: the guest's RAM, as an e820 would list it. */
	__u32 segment_count;
	/*
	 * Entries used in `classes`. The guest takes page tables and module text from these; the
	 * parts that image and boot tables use are at the start of their ranges.
	 */
	__u32 class_count;
	/*
	 * What to add to a link-time physical address of the kernel to get its hpa (Linux:
	 * phys_base). A multiple of 2 MiB, may wrap.
	 */
	__u64 phys_base;
	/* hpa of the first byte of the loaded kernel image, and */
	__u64 image_hpa;
	/* bytes that it occupies, bss included. */
	__u64 image_size;
	/* hpa of the initial ramdisk, a multiple of FRAME_SIZE; 0 if there is none. */
	__u64 initrd_hpa;
	/* Bytes of it. */
	__u64 initrd_size;
	/* hpa of the boot root (a declared L4). */
	__u64 boot_root_hpa;
	/*
	 * hpa of the first boot page table; they are consecutive Pt frames, and the free part of
	 * that Pt range begins after them.
	 */
	__u64 boot_tables_hpa;
	/* Bytes of them. */
	__u64 boot_tables_size;
	/* Virtual address of hpa 0 in the direct map that the boot tables hold (NOTE_DIRECT_MAP). */
	__u64 direct_map;
	/*
	 * hpa of the page that `struct cki_clock` is in. The guest may map it, read-only and not
	 * executable, anywhere, user space included.
	 */
	__u64 clock_hpa;
	/* Frequency of the TSC in kHz. It is invariant and the same on all vCPUs. */
	__u64 tsc_khz;
	/* virtio-mmio devices: HC_MMIO_* take 0 to device_count - 1. */
	__u32 device_count;
	/* PCIDs that KSM_ROOT_LOAD accepts: 0 to pcids - 1. 0: only PCID 0, and no ROOT_NO_FLUSH. */
	__u32 pcids;
	/* Size of the random seed that follows, 0 to 64 bytes. */
	__u64 seed_size;
	/* Random bytes from the host. */
	__u8 seed[64];
	/* 0. */
	__u64 reserved2[8];
	/* The container's memory. */
	struct cki_segment segments[32];
	/* What is not Data in it. */
	struct cki_class_range classes[64];
	/* Command line, terminated by a zero byte. */
	__u8 command_line[2048];
	/* 0. */
	__u8 padding[3840];
};
_Static_assert(sizeof(struct cki_start_info) == 8192, "cki_start_info");
_Static_assert(__builtin_offsetof(struct cki_start_info, magic) == 0, "cki_start_info.magic");
_Static_assert(__builtin_offsetof(struct cki_start_info, abi_version) == 8, "cki_start_info.abi_version");
_Static_assert(__builtin_offsetof(struct cki_start_info, vcpus) == 12, "cki_start_info.vcpus");
_Static_assert(__builtin_offsetof(struct cki_start_info, segment_count) == 16, "cki_start_info.segment_count");
_Static_assert(__builtin_offsetof(struct cki_start_info, class_count) == 20, "cki_start_info.class_count");
_Static_assert(__builtin_offsetof(struct cki_start_info, phys_base) == 24, "cki_start_info.phys_base");
_Static_assert(__builtin_offsetof(struct cki_start_info, image_hpa) == 32, "cki_start_info.image_hpa");
_Static_assert(__builtin_offsetof(struct cki_start_info, image_size) == 40, "cki_start_info.image_size");
_Static_assert(__builtin_offsetof(struct cki_start_info, initrd_hpa) == 48, "cki_start_info.initrd_hpa");
_Static_assert(__builtin_offsetof(struct cki_start_info, initrd_size) == 56, "cki_start_info.initrd_size");
_Static_assert(__builtin_offsetof(struct cki_start_info, boot_root_hpa) == 64, "cki_start_info.boot_root_hpa");
_Static_assert(__builtin_offsetof(struct cki_start_info, boot_tables_hpa) == 72, "cki_start_info.boot_tables_hpa");
_Static_assert(__builtin_offsetof(struct cki_start_info, boot_tables_size) == 80, "cki_start_info.boot_tables_size");
_Static_assert(__builtin_offsetof(struct cki_start_info, direct_map) == 88, "cki_start_info.direct_map");
_Static_assert(__builtin_offsetof(struct cki_start_info, clock_hpa) == 96, "cki_start_info.clock_hpa");
_Static_assert(__builtin_offsetof(struct cki_start_info, tsc_khz) == 104, "cki_start_info.tsc_khz");
_Static_assert(__builtin_offsetof(struct cki_start_info, device_count) == 112, "cki_start_info.device_count");
_Static_assert(__builtin_offsetof(struct cki_start_info, pcids) == 116, "cki_start_info.pcids");
_Static_assert(__builtin_offsetof(struct cki_start_info, seed_size) == 120, "cki_start_info.seed_size");
_Static_assert(__builtin_offsetof(struct cki_start_info, seed) == 128, "cki_start_info.seed");
_Static_assert(__builtin_offsetof(struct cki_start_info, reserved2) == 192, "cki_start_info.reserved2");
_Static_assert(__builtin_offsetof(struct cki_start_info, segments) == 256, "cki_start_info.segments");
_Static_assert(__builtin_offsetof(struct cki_start_info, classes) == 768, "cki_start_info.classes");
_Static_assert(__builtin_offsetof(struct cki_start_info, command_line) == 2304, "cki_start_info.command_line");
_Static_assert(__builtin_offsetof(struct cki_start_info, padding) == 4352, "cki_start_info.padding");

/* The last call that the monitor refused, for the host to print when a container dies. */
struct cki_refusal {
	/* Refusals so far. */
	__u64 count;
	/* Call number. */
	__u64 call;
	/* Its arguments. */
	__u64 arguments[4];
	/* Error, positive. */
	__u64 error;
	/* Return address of the call. */
	__u64 rip;
};
_Static_assert(sizeof(struct cki_refusal) == 64, "cki_refusal");
_Static_assert(__builtin_offsetof(struct cki_refusal, count) == 0, "cki_refusal.count");
_Static_assert(__builtin_offsetof(struct cki_refusal, call) == 8, "cki_refusal.call");
_Static_assert(__builtin_offsetof(struct cki_refusal, arguments) == 16, "cki_refusal.arguments");
_Static_assert(__builtin_offsetof(struct cki_refusal, error) == 48, "cki_refusal.error");
_Static_assert(__builtin_offsetof(struct cki_refusal, rip) == 56, "cki_refusal.rip");

#endif /* !__ASSEMBLER__ */

#endif /* _UAPI_LINUX_CKI_GUEST_H */

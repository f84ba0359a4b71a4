/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The binary interfaces of CKI. Generated from the Rust crate cki-abi, which
 * is the definition; do not edit. For C and for assembler.
 */
#ifndef CKI_ABI_H
#define CKI_ABI_H

#include <linux/cki_guest.h>

/* ---- The CPU extension ---- */
/* CPUID leaf range of the extension: highest leaf in EAX, vendor text in EBX, ECX, EDX. */
#define CKI_CPUID_LEAF CKI_U64(0x434b4900)
/* EBX of that leaf, "CkiS". A CPU without it answers with the contents of another leaf: hence the text. */
#define CKI_CPUID_VENDOR_EBX CKI_U64(0x53696b43)
/* ECX of that leaf, "ecur". */
#define CKI_CPUID_VENDOR_ECX CKI_U64(0x72756365)
/* EDX of that leaf, "eISA". */
#define CKI_CPUID_VENDOR_EDX CKI_U64(0x41534965)
/* CPUID leaf with the feature bits. */
#define CKI_CPUID_FEATURES_LEAF CKI_U64(0x434b4901)
/* In EAX of the feature leaf: the extension is present. */
#define CKI_CPUID_FEATURES_EAX_CKI CKI_U64(1)
/*
 * The version of `docs/reference/isa.md` that the processor keeps, in ECX of the feature leaf; the least one that
 * the monitor runs on.
 */
#define CKI_ISA_VERSION CKI_U64(2)
/* Control MSR; readable and writable at PKRS = 0 only. */
#define CKI_MSR_CTL CKI_U64(0x434b4900)
/* In the control MSR: deprivileged mode and privileged gates are on, and events are held at PKRS = 0. */
#define CKI_MSR_CTL_EN CKI_U64(1)
/* IA32_PKRS (Intel SDM Vol. 4): the supervisor protection-key rights, as WRMSR writes them. */
#define CKI_MSR_IA32_PKRS CKI_U64(0x6e1)
/*
 * WRPKRS, first of its four bytes (0F 38 6B DA): PKRS := EAX. Not serialising; no other
 * operand, no prefix. This sequence is what the scan of executable frames refuses.
 */
#define CKI_WRPKRS_BYTE0 CKI_U64(15)
/* WRPKRS, second byte. */
#define CKI_WRPKRS_BYTE1 CKI_U64(56)
/* WRPKRS, third byte. */
#define CKI_WRPKRS_BYTE2 CKI_U64(107)
/* WRPKRS, fourth byte. */
#define CKI_WRPKRS_BYTE3 CKI_U64(218)
/* RDPKRS, fourth byte: 0F 38 6B D2, EAX := PKRS. Harmless, not scanned for. */
#define CKI_RDPKRS_BYTE3 CKI_U64(210)
/*
 * In the first quadword of a 64-bit IDT gate: the gate is privileged, its event saves PKRS in
 * bits 63:32 of the stacked CS slot and clears it. Such a gate needs an IST.
 */
#define CKI_GATE_PRIVILEGED CKI_U64(0x800000000)

/* ---- Control registers while a container runs ---- */
/*
 * CR0: PE, MP, ET, NE, WP, AM, PG, and nothing else. WP makes read-only mappings read-only for CPL 0
 * (I2). EM and TS are 0: the guest's FPU never traps. NW and CD are 0: its caches are on.
 */
#define CKI_CR0_PINNED CKI_U64(0x80050033)
/* CR4: PKS. Protection keys of supervisor pages. */
#define CKI_CR4_PKS CKI_U64(0x1000000)
/* CR4: PGE. Each change of it drops all translations, global ones too (SDM Vol. 3A 4.10.4.1). */
#define CKI_CR4_PGE CKI_U64(128)
/*
 * CR4: PAE, OSFXSR, OSXMMEXCPT, UMIP, FSGSBASE, OSXSAVE, SMEP, SMAP, PKS. SMEP is half of I3.
 *
 * What is 0 with a reason: VME and PVI would make CLI and STI of user mode depend on flags that I8
 * keeps 0; TSD and PCE are rights of user mode that are not the container's; LA57 would make slots of
 * another size; VMXE, SMXE, Key Locker (KL), user interrupts (UINTR), LASS, LAM_SUP and FRED change what
 * instructions, addresses and events mean; CET because a shadow stack makes read-only dirty pages
 * writable.
 */
#define CKI_CR4_PINNED CKI_U64(0x1350e20)
/* CR4: PCIDE, set exactly if the container has PCIDs. */
#define CKI_CR4_PCIDE CKI_U64(0x20000)
/*
 * CR4, as the host has it: DE and PSE (no meaning here: the guest reaches no debug register, and paging is
 * of four levels), MCE (what becomes of the machine on a machine check), PGE (global translations are
 * neither used nor made while the extension is on), PKE (whether user mode has protection keys).
 */
#define CKI_CR4_FREE CKI_U64(0x4000d8)
/* EFER: SCE, LME, LMA, NXE. What is 0 with a reason: LMSLE and UAIE change what addresses mean. */
#define CKI_EFER_PINNED CKI_U64(0xd01)
/*
 * EFER, as the host has it: TCE (which translations INVLPG drops, and INVLPG never counts as a flush),
 * AIBRSE (speculation), SVME (KVM sets it for good; deprivileged mode refuses SVM's instructions whatever it
 * says, and user mode outside of a virtual machine has none).
 */
#define CKI_EFER_FREE CKI_U64(0x209000)

/* ---- Protection keys ---- */
/* Key of everything the guest may reach. The only key a guest supervisor entry may carry. */
#define CKI_PKEY_GUEST CKI_U64(0)
/* Key of the monitor's own pages: no access for the guest. */
#define CKI_PKEY_MONITOR CKI_U64(1)
/* Key of IDT, GDT and TSS: the guest (and the CPU for it) reads, only the monitor writes. */
#define CKI_PKEY_TABLES CKI_U64(2)
/* PKRS while the guest runs; it is 0 while the monitor does: key 0 free, key 2 read-only, all others no access. */
#define CKI_PKRS_GUEST CKI_U64(0xffffffec)

/* ---- Selectors ---- */
/* CS of the guest kernel (and of the monitor): 64-bit, DPL 0. */
#define CKI_SEL_KERNEL_CS CKI_U64(16)
/* SS and data of the guest kernel: DPL 0. */
#define CKI_SEL_KERNEL_DS CKI_U64(24)
/* CS of 32-bit user programs. */
#define CKI_SEL_USER32_CS CKI_U64(35)
/* SS and data of user programs. */
#define CKI_SEL_USER_DS CKI_U64(43)
/* CS of 64-bit user programs. */
#define CKI_SEL_USER_CS CKI_U64(51)
/* TSS (two descriptor slots). */
#define CKI_SEL_TSS CKI_U64(64)
/* First of the three TLS descriptors, as user programs name it (RPL 3). */
#define CKI_SEL_TLS CKI_U64(99)
/* Descriptor whose limit is the vCPU's number, for getcpu in user programs (RPL 3). */
#define CKI_SEL_USER_CPU_NUMBER CKI_U64(123)
/*
 * Descriptor whose limit is the vCPU's number, for the monitor: LSL on it finds the per-vCPU
 * area without trusting a register of the guest's (I7). DPL 0.
 */
#define CKI_SEL_VCPU_NUMBER CKI_U64(128)
/* Bytes of the GDT: 17 slots of 8. */
#define CKI_GDT_SIZE CKI_U64(136)
/* TLS descriptors that KSM_TLS_SET can set: indexes 0 to 2. */
#define CKI_TLS_SLOTS CKI_U64(3)
/* IA32_STAR, upper half: SYSCALL loads CS = 0x10, SS = 0x18; SYSRET CS = 0x33 or 0x23, SS = 0x2b. */
#define CKI_STAR_HIGH CKI_U64(0x230010)
/*
 * IA32_FMASK, what SYSCALL clears: Linux's own value without IF, which stays 1 whenever PKRS
 * is not 0 (I9).
 */
#define CKI_SYSCALL_MASK CKI_U64(0x257dd5)

/* ---- Address space ---- */
/* L4 slots below this one are user space. */
#define CKI_SLOT_MONITOR CKI_U64(256)
/* First address of slot 256. */
#define CKI_SLOT_BASE CKI_U64(0xffff800000000000)
/* First address after slot 256. */
#define CKI_SLOT_END CKI_U64(0xffff808000000000)
/* The monitor's image, linked to run here. */
#define CKI_IMAGE_BASE CKI_U64(0xffff800000200000)
/* Bytes there are for it. */
#define CKI_IMAGE_SIZE CKI_U64(0x200000)
/* Gate of KSM calls and hypercalls. Entered by CALL. */
#define CKI_GATE_CALL CKI_U64(0xffff800000200000)
/*
 * Gate of IRET. Entered by JMP at CPL 0, with all registers but rax, rcx and rdx as the target
 * is to see them, and `vcpu_info.iret` filled in. Does not return. Interrupt events that
 * became pending are delivered instead, with the target as interrupted state.
 */
#define CKI_GATE_IRET CKI_U64(0xffff800000200200)
/*
 * Entry of the monitor from the host module (bridge page tables, PKRS = 0). Not a gate: it
 * gives no rights, and a guest that jumps there faults at the first memory of the monitor's, or
 * at LGDT.
 */
#define CKI_MONITOR_ENTRY CKI_U64(0xffff800000200400)
/* `struct cki_start_info`, the first of the pages that the guest may read. */
#define CKI_START_INFO CKI_U64(0xffff800000400000)
/* `struct cki_clock`. */
#define CKI_CLOCK CKI_U64(0xffff800000402000)
/* `struct cki_monitor_boot`. */
#define CKI_BOOT_INFO CKI_U64(0xffff800000600000)
/* Area of vCPU 0. Area of vCPU n: + n * VCPU_STRIDE. */
#define CKI_VCPU_BASE CKI_U64(0xffff800040000000)
/* Bytes from one vCPU's area to the next. */
#define CKI_VCPU_STRIDE CKI_U64(0x20000)
/* In the area: GDT (key 2). */
#define CKI_VCPU_GDT CKI_U64(0)
/* In the area: IDT, 256 gates (key 2). */
#define CKI_VCPU_IDT CKI_U64(0x1000)
/* In the area: TSS (key 2). No I/O bitmap: its base is beyond the limit. */
#define CKI_VCPU_TSS CKI_U64(0x2000)
/* In the area: the monitor's state of the vCPU, one page. */
#define CKI_VCPU_STATE CKI_U64(0x3000)
/* In the area: `struct cki_vcpu_switch`, one page. */
#define CKI_VCPU_SWITCH CKI_U64(0x4000)
/* In the area: where batches and pokes are copied to, one page. */
#define CKI_VCPU_SCRATCH CKI_U64(0x5000)
/* In the area: top of the stack that calls run on; 16 KiB, an unmapped page below. */
#define CKI_VCPU_STACK_TOP CKI_U64(0xb000)
/* In the area: top of the first IST stack (4 KiB, an unmapped page below). */
#define CKI_VCPU_IST_TOP CKI_U64(0x12000)
/* From one IST stack's top to the next. */
#define CKI_VCPU_IST_STRIDE CKI_U64(0x2000)
/* IST of external interrupts. */
#define CKI_IST_INTERRUPT CKI_U64(1)
/* IST of NMI. */
#define CKI_IST_NMI CKI_U64(2)
/* IST of #MC. */
#define CKI_IST_MACHINE_CHECK CKI_U64(3)
/* IST of #DF. */
#define CKI_IST_DOUBLE_FAULT CKI_U64(4)
/* IST of #DB, a privileged gate because a guest can make it strike inside a gate. */
#define CKI_IST_DEBUG CKI_U64(5)
/* Number of ISTs used. */
#define CKI_IST_COUNT CKI_U64(5)
/* Frame words. */
#define CKI_FRAME_TABLE CKI_U64(0xffff801000000000)
/* Chunk words. */
#define CKI_CHUNK_TABLE CKI_U64(0xffff801800000000)
/* The container's memory, as the monitor sees it. */
#define CKI_DIRECT_MAP CKI_U64(0xffff804000000000)

/* ---- KSM calls: number in eax, arguments in rdi, rsi, r8, r9; results in rax, rdx ---- */
/* () -> rdx = ABI_VERSION. Never fails. */
#define CKI_KSM_VERSION CKI_U64(0)
/*
 * (table_hpa, kind): makes a Pt frame a page table. kind is TABLE_L1..TABLE_L4, with TABLE_USER
 * for tables below slots 0 to 255 (not for L4). The frame is cleared. An L4 gets the monitor's
 * slot 256. Errors: E_ARGUMENT, E_RANGE, E_CLASS, E_TYPE (is a table already), E_STALE, E_STATE (the
 * host is making a table of it).
 */
#define CKI_KSM_TABLE_DECLARE CKI_U64(1)
/*
 * (table_hpa): ends the frame's life as a table; its entries no longer count as links. The
 * contents stay, the frame stays Pt. Errors: E_ARGUMENT, E_RANGE, E_TYPE (is no table), E_BUSY
 * (linked or loaded, or more than RELEASE_LINKS_MAX of its entries refer to tables: clear some first).
 */
#define CKI_KSM_TABLE_RELEASE CKI_U64(2)
/*
 * (entry_hpa, value): stores a table entry. Errors: E_ARGUMENT, E_RANGE, E_CLASS, E_EXECUTE,
 * E_TYPE, E_ROOT, E_BITS, E_KEY, E_LIMIT.
 */
#define CKI_KSM_ENTRY_SET CKI_U64(3)
/*
 * (entry_hpa, value) -> rdx = old value: as KSM_ENTRY_SET, atomic with respect to the A and D
 * bits that the CPU sets.
 */
#define CKI_KSM_ENTRY_EXCHANGE CKI_U64(4)
/*
 * (entry_hpa, expected, value) -> rdx = old value: as KSM_ENTRY_EXCHANGE, but only if the entry
 * holds `expected`; E_CHANGED otherwise.
 */
#define CKI_KSM_ENTRY_COMPARE_EXCHANGE CKI_U64(5)
/*
 * (entry_hpa, mask) -> rdx = old value: clears the bits of `mask` atomically. The mask holds
 * bits of ENTRY_CLEARABLE only. Errors: E_ARGUMENT, E_RANGE, E_TYPE, E_ROOT.
 */
#define CKI_KSM_ENTRY_CLEAR CKI_U64(6)
/*
 * (list_hpa, count) -> rdx = updates applied: `count` (1 to BATCH_MAX) times KSM_ENTRY_SET from
 * an array of `struct cki_batch_entry` in one Data frame, 16-byte aligned. Copied once. Stops at
 * the first refusal and returns its error; earlier updates stay.
 */
#define CKI_KSM_ENTRY_BATCH CKI_U64(7)
/*
 * (root): loads CR3. root = host-physical address of a declared L4 | PCID (below
 * start_info.pcids; 0 always) | ROOT_NO_FLUSH (only with PCIDs). Errors: E_ARGUMENT, E_RANGE, E_ROOT, E_LIMIT.
 */
#define CKI_KSM_ROOT_LOAD CKI_U64(8)
/*
 * (scope, pcid): invalidates cached translations. FLUSH_PCID: those of one PCID on this vCPU.
 * FLUSH_ALL: all of this vCPU. FLUSH_EVERYWHERE: all of every vCPU, of which there is one
 * (VCPUS_SUPPORTED). The guest may use INVLPG by itself. Errors: E_ARGUMENT.
 */
#define CKI_KSM_FLUSH CKI_U64(9)
/*
 * (dst_hpa, src_hpa, length): copies 1 to POKE_MAX bytes from container memory into one Exec
 * frame. Neither range crosses a frame. In a sealed frame every combination of old and new
 * bytes is checked. Errors: E_ARGUMENT, E_RANGE, E_CLASS, E_GADGET.
 */
#define CKI_KSM_TEXT_POKE CKI_U64(10)
/*
 * (hpa, frames) -> rdx = frames now sealed: scans 1 to SEAL_MAX Exec frames and seals them: from
 * now on they may be mapped executable. Sealed frames are skipped. Stops at the first refusal, and,
 * with success, after at least one frame when the call has taken long enough: call again for
 * the rest. Errors: E_ARGUMENT, E_RANGE, E_CLASS, E_GADGET.
 */
#define CKI_KSM_EXEC_SEAL CKI_U64(11)
/*
 * (index, address): sets the address that an exception or pseudo-handler (HANDLER_*) enters, on
 * this vCPU. address 0 removes it. Vectors 0, 3 to 7, 10 to 14, 16, 17, 19 and 21; 3 and 4
 * can be raised from user mode by INT. All from 32 on are the host's. Errors: E_ARGUMENT, E_ADDRESS.
 */
#define CKI_KSM_HANDLER_SET CKI_U64(12)
/*
 * (rsp0): sets the stack that exceptions from user mode start on, on this vCPU; a multiple of
 * 16. Errors: E_ARGUMENT, E_ADDRESS.
 */
#define CKI_KSM_STACK_SET CKI_U64(13)
/*
 * (index, descriptor): sets TLS descriptor 0 to TLS_SLOTS - 1 of this vCPU: 0, or a present
 * data segment with DPL 3. The monitor sets its accessed bit (the CPU could not). Errors: E_ARGUMENT.
 */
#define CKI_KSM_TLS_SET CKI_U64(14)
/*
 * (hpa): names this vCPU's `struct cki_vcpu_info`, in a Data frame, aligned to its size.
 * Errors: E_ARGUMENT, E_RANGE, E_CLASS.
 */
#define CKI_KSM_VCPU_INFO_SET CKI_U64(15)
/*
 * (start, end): the guest's entry code, as virtual addresses, on this vCPU: events are never
 * delivered while RIP is in [start, end) at CPL 0. All 0: none. Errors: E_ARGUMENT, E_ADDRESS (also
 * if slot 256 lies in the range).
 */
#define CKI_KSM_ENTRY_CODE_SET CKI_U64(16)
/*
 * (index, check, return, undo): a return to user mode in the entry code that needs no call, on this
 * vCPU; index is below RETURNS_MAX. check is an instruction that looks for pending events, return the
 * SYSRET or IRETQ that follows it. Between them stand that look, its branch and SWAPGS, nothing
 * else. An event that finds RIP in [check, return) has the guest go on at check; one that finds it
 * at return, at undo, where the guest takes its SWAPGS back and goes to check. All 0: none.
 * Errors: E_ARGUMENT (also if check > return), E_ADDRESS.
 */
#define CKI_KSM_RETURN_SET CKI_U64(17)
/* Number of KSM calls. */
#define CKI_KSM_CALLS CKI_U64(18)

/* ---- Hypercalls: convention of the KSM calls, numbers from HC_BASE ---- */
/* First hypercall number. */
#define CKI_HC_BASE CKI_U64(256)
/* (hpa, length) -> rdx = bytes taken: writes to the console. At most one frame, not crossing it. */
#define CKI_HC_CONSOLE_WRITE CKI_U64(256)
/* (hpa, length) -> rdx = bytes put there: reads what the console has received; 0 if nothing. */
#define CKI_HC_CONSOLE_READ CKI_U64(257)
/*
 * (tsc): raises EVENT_TIMER on this vCPU when the TSC reaches the value; 0 disarms. A value in
 * the past raises it at once. One timer a vCPU.
 */
#define CKI_HC_TIMER_SET CKI_U64(258)
/*
 * (): returns when an event is pending on this vCPU, at once if one is. The guest calls it with
 * its interrupt flag 0 and looks at `events` itself afterwards.
 */
#define CKI_HC_IDLE CKI_U64(259)
/* (): lets the host run something else. */
#define CKI_HC_YIELD CKI_U64(260)
/*
 * (device, offset, size) -> rdx = value: reads 1, 2, 4 or 8 bytes of a virtio-mmio device's
 * registers (virtio 1.2, 4.2.2; offsets from 0x100 are the device's configuration).
 */
#define CKI_HC_MMIO_READ CKI_U64(261)
/* (device, offset, size, value): writes such a register. */
#define CKI_HC_MMIO_WRITE CKI_U64(262)
/* (reason, code): ends the container. SHUTDOWN_*; does not return. */
#define CKI_HC_SHUTDOWN CKI_U64(263)
/*
 * (hpa, length): as HC_CONSOLE_WRITE for the last words of a panic, then ends the container as
 * SHUTDOWN_PANIC; does not return.
 */
#define CKI_HC_PANIC CKI_U64(264)
/* Kept for a start of another vCPU. Not built: E_HOST always. */
#define CKI_HC_VCPU_START CKI_U64(265)
/* Kept for the end of a vCPU. Not built: E_HOST always. */
#define CKI_HC_VCPU_STOP CKI_U64(266)
/* (mask, event): raises an event bit on the vCPUs of the mask. */
#define CKI_HC_EVENT_SEND CKI_U64(267)
/* One past the last hypercall number. */
#define CKI_HC_END CKI_U64(268)

/* ---- Pseudo-handlers of KSM_HANDLER_SET (exceptions: their vector) ---- */
/* An event, in user mode. State in vcpu_info.event; interrupt_flag is 0. GS base is the user's. */
#define CKI_HANDLER_EVENT_USER CKI_U64(256)
/* An event, at CPL 0 outside of the entry code with interrupt_flag 1, which is now 0. */
#define CKI_HANDLER_EVENT_KERNEL CKI_U64(257)
/* #DB in user mode. State and DR6 in vcpu_info.debug. */
#define CKI_HANDLER_DEBUG_USER CKI_U64(258)
/* #DB at CPL 0. State and DR6 in vcpu_info.debug; TF is clear in the handler. */
#define CKI_HANDLER_DEBUG_KERNEL CKI_U64(259)
/* GATE_IRET refused the state: rax = negated error, rcx and rdx 0, all else as at the gate. */
#define CKI_HANDLER_IRET_REFUSED CKI_U64(260)
/* SYSCALL from 64-bit code (IA32_LSTAR). */
#define CKI_HANDLER_SYSCALL CKI_U64(261)
/* SYSCALL from 32-bit code (IA32_CSTAR). */
#define CKI_HANDLER_SYSCALL32 CKI_U64(262)
/* One past the last pseudo-handler. */
#define CKI_HANDLER_END CKI_U64(263)

/* ---- Sizes of the structures and offsets of their members ---- */
#define CKI_SIZEOF_CLOCK 64
#define CKI_OFFSETOF_CLOCK_SEQUENCE 0
#define CKI_OFFSETOF_CLOCK_RESERVED 4
#define CKI_OFFSETOF_CLOCK_TSC 8
#define CKI_OFFSETOF_CLOCK_WALL_SECONDS 16
#define CKI_OFFSETOF_CLOCK_WALL_NANOSECONDS 24
#define CKI_OFFSETOF_CLOCK_SYSTEM_NANOSECONDS 32
#define CKI_OFFSETOF_CLOCK_TSC_KHZ 40
#define CKI_OFFSETOF_CLOCK_ABSENCES 48
#define CKI_OFFSETOF_CLOCK_RESERVED2 56
#define CKI_SIZEOF_BATCH_ENTRY 16
#define CKI_OFFSETOF_BATCH_ENTRY_ENTRY_HPA 0
#define CKI_OFFSETOF_BATCH_ENTRY_VALUE 8
#define CKI_SIZEOF_RETURN_STATE 64
#define CKI_OFFSETOF_RETURN_STATE_RIP 0
#define CKI_OFFSETOF_RETURN_STATE_CS 8
#define CKI_OFFSETOF_RETURN_STATE_RFLAGS 16
#define CKI_OFFSETOF_RETURN_STATE_RSP 24
#define CKI_OFFSETOF_RETURN_STATE_SS 32
#define CKI_OFFSETOF_RETURN_STATE_RAX 40
#define CKI_OFFSETOF_RETURN_STATE_RCX 48
#define CKI_OFFSETOF_RETURN_STATE_RDX 56
#define CKI_SIZEOF_INTERRUPTED_STATE 64
#define CKI_OFFSETOF_INTERRUPTED_STATE_RIP 0
#define CKI_OFFSETOF_INTERRUPTED_STATE_CS 8
#define CKI_OFFSETOF_INTERRUPTED_STATE_RFLAGS 16
#define CKI_OFFSETOF_INTERRUPTED_STATE_RSP 24
#define CKI_OFFSETOF_INTERRUPTED_STATE_SS 32
#define CKI_OFFSETOF_INTERRUPTED_STATE_DR6 40
#define CKI_OFFSETOF_INTERRUPTED_STATE_RESERVED 48
#define CKI_SIZEOF_VCPU_INFO 256
#define CKI_OFFSETOF_VCPU_INFO_INTERRUPT_FLAG 0
#define CKI_OFFSETOF_VCPU_INFO_RESERVED 1
#define CKI_OFFSETOF_VCPU_INFO_EVENTS 8
#define CKI_OFFSETOF_VCPU_INFO_RESERVED2 16
#define CKI_OFFSETOF_VCPU_INFO_IRET 64
#define CKI_OFFSETOF_VCPU_INFO_EVENT 128
#define CKI_OFFSETOF_VCPU_INFO_DEBUG 192
#define CKI_SIZEOF_MONITOR_BOOT 4096
#define CKI_OFFSETOF_MONITOR_BOOT_MAGIC 0
#define CKI_OFFSETOF_MONITOR_BOOT_ABI_VERSION 8
#define CKI_OFFSETOF_MONITOR_BOOT_VCPUS 12
#define CKI_OFFSETOF_MONITOR_BOOT_SEGMENT_COUNT 16
#define CKI_OFFSETOF_MONITOR_BOOT_CLASS_COUNT 20
#define CKI_OFFSETOF_MONITOR_BOOT_SHARED_COUNT 24
#define CKI_OFFSETOF_MONITOR_BOOT_PCID_BASE 28
#define CKI_OFFSETOF_MONITOR_BOOT_SLOT_ENTRY 32
#define CKI_OFFSETOF_MONITOR_BOOT_PCIDS 40
#define CKI_OFFSETOF_MONITOR_BOOT_RESERVED 44
#define CKI_OFFSETOF_MONITOR_BOOT_RESERVED2 48
#define CKI_OFFSETOF_MONITOR_BOOT_SEGMENTS 64
#define CKI_OFFSETOF_MONITOR_BOOT_CLASSES 576
#define CKI_OFFSETOF_MONITOR_BOOT_SHARED 2112
#define CKI_OFFSETOF_MONITOR_BOOT_PADDING 2240
#define CKI_SIZEOF_VCPU_SWITCH 4096
#define CKI_OFFSETOF_VCPU_SWITCH_OPERATION 0
#define CKI_OFFSETOF_VCPU_SWITCH_ARGUMENTS 8
#define CKI_OFFSETOF_VCPU_SWITCH_STATUS 40
#define CKI_OFFSETOF_VCPU_SWITCH_VALUE 48
#define CKI_OFFSETOF_VCPU_SWITCH_EXIT 56
#define CKI_OFFSETOF_VCPU_SWITCH_EXIT_ARGUMENTS 64
#define CKI_OFFSETOF_VCPU_SWITCH_VCPU_INFO_HPA 112
#define CKI_OFFSETOF_VCPU_SWITCH_RESERVED 120
#define CKI_OFFSETOF_VCPU_SWITCH_REFUSAL 128
#define CKI_OFFSETOF_VCPU_SWITCH_CALLS 192
#define CKI_OFFSETOF_VCPU_SWITCH_RETURNS 200
#define CKI_OFFSETOF_VCPU_SWITCH_TABLES 208
#define CKI_OFFSETOF_VCPU_SWITCH_PADDING 216

#ifndef __ASSEMBLER__

#include <linux/types.h>

/*
 * At CLOCK, and at start_info.clock_hpa. Read `sequence`, wait while it is odd, read the rest,
 * and start again if it changed.
 */
struct cki_clock {
	/* Odd while the host writes. */
	__u32 sequence;
	/* 0. */
	__u32 reserved;
	/* TSC at the moment that the times below belong to. */
	__u64 tsc;
	/* Wall-clock time then: seconds since 1970 UTC. */
	__u64 wall_seconds;
	/* Nanoseconds on top. */
	__u64 wall_nanoseconds;
	/* Nanoseconds since the container's start, then. */
	__u64 system_nanoseconds;
	/* Frequency of the TSC in kHz. */
	__u64 tsc_khz;
	/*
	 * How often a vCPU could have run and did not for a second or more, such as with a launcher that
	 * is stopped. It grows before the vCPU runs again, whatever `sequence` is.
	 */
	__u64 absences;
	/* 0. */
	__u64 reserved2;
};
_Static_assert(sizeof(struct cki_clock) == 64, "cki_clock");
_Static_assert(__builtin_offsetof(struct cki_clock, sequence) == 0, "cki_clock.sequence");
_Static_assert(__builtin_offsetof(struct cki_clock, reserved) == 4, "cki_clock.reserved");
_Static_assert(__builtin_offsetof(struct cki_clock, tsc) == 8, "cki_clock.tsc");
_Static_assert(__builtin_offsetof(struct cki_clock, wall_seconds) == 16, "cki_clock.wall_seconds");
_Static_assert(__builtin_offsetof(struct cki_clock, wall_nanoseconds) == 24, "cki_clock.wall_nanoseconds");
_Static_assert(__builtin_offsetof(struct cki_clock, system_nanoseconds) == 32, "cki_clock.system_nanoseconds");
_Static_assert(__builtin_offsetof(struct cki_clock, tsc_khz) == 40, "cki_clock.tsc_khz");
_Static_assert(__builtin_offsetof(struct cki_clock, absences) == 48, "cki_clock.absences");
_Static_assert(__builtin_offsetof(struct cki_clock, reserved2) == 56, "cki_clock.reserved2");

/* One update of KSM_ENTRY_BATCH. */
struct cki_batch_entry {
	/* Host-physical address of the table entry. */
	__u64 entry_hpa;
	/* Value to store there. */
	__u64 value;
};
_Static_assert(sizeof(struct cki_batch_entry) == 16, "cki_batch_entry");
_Static_assert(__builtin_offsetof(struct cki_batch_entry, entry_hpa) == 0, "cki_batch_entry.entry_hpa");
_Static_assert(__builtin_offsetof(struct cki_batch_entry, value) == 8, "cki_batch_entry.value");

/*
 * State to return to by GATE_IRET: the five words that IRETQ pops, and the three registers
 * that the gate needs for itself.
 */
struct cki_return_state {
	/* RIP: canonical; below 4 GiB for 32-bit code. */
	__u64 rip;
	/* CS: SEL_KERNEL_CS, SEL_USER_CS or SEL_USER32_CS; upper bits 0. */
	__u64 cs;
	/* RFLAGS: IF = 1, IOPL = 0, NT, VM, VIF, VIP and reserved bits 0, bit 1 set. */
	__u64 rflags;
	/* RSP. */
	__u64 rsp;
	/* SS: SEL_USER_DS for user code; SEL_KERNEL_DS or 0 for CPL 0. Upper bits 0. */
	__u64 ss;
	/* rax to return with. */
	__u64 rax;
	/* rcx to return with. */
	__u64 rcx;
	/* rdx to return with. */
	__u64 rdx;
};
_Static_assert(sizeof(struct cki_return_state) == 64, "cki_return_state");
_Static_assert(__builtin_offsetof(struct cki_return_state, rip) == 0, "cki_return_state.rip");
_Static_assert(__builtin_offsetof(struct cki_return_state, cs) == 8, "cki_return_state.cs");
_Static_assert(__builtin_offsetof(struct cki_return_state, rflags) == 16, "cki_return_state.rflags");
_Static_assert(__builtin_offsetof(struct cki_return_state, rsp) == 24, "cki_return_state.rsp");
_Static_assert(__builtin_offsetof(struct cki_return_state, ss) == 32, "cki_return_state.ss");
_Static_assert(__builtin_offsetof(struct cki_return_state, rax) == 40, "cki_return_state.rax");
_Static_assert(__builtin_offsetof(struct cki_return_state, rcx) == 48, "cki_return_state.rcx");
_Static_assert(__builtin_offsetof(struct cki_return_state, rdx) == 56, "cki_return_state.rdx");

/* State that an event or #DB interrupted. RSP and all general registers are still in place. */
struct cki_interrupted_state {
	/* RIP. */
	__u64 rip;
	/* CS. */
	__u64 cs;
	/* RFLAGS. */
	__u64 rflags;
	/* RSP, also still in the register. */
	__u64 rsp;
	/* SS. */
	__u64 ss;
	/* #DB: DR6. Events: 0. */
	__u64 dr6;
	/* 0. */
	__u64 reserved[2];
};
_Static_assert(sizeof(struct cki_interrupted_state) == 64, "cki_interrupted_state");
_Static_assert(__builtin_offsetof(struct cki_interrupted_state, rip) == 0, "cki_interrupted_state.rip");
_Static_assert(__builtin_offsetof(struct cki_interrupted_state, cs) == 8, "cki_interrupted_state.cs");
_Static_assert(__builtin_offsetof(struct cki_interrupted_state, rflags) == 16, "cki_interrupted_state.rflags");
_Static_assert(__builtin_offsetof(struct cki_interrupted_state, rsp) == 24, "cki_interrupted_state.rsp");
_Static_assert(__builtin_offsetof(struct cki_interrupted_state, ss) == 32, "cki_interrupted_state.ss");
_Static_assert(__builtin_offsetof(struct cki_interrupted_state, dr6) == 40, "cki_interrupted_state.dr6");
_Static_assert(__builtin_offsetof(struct cki_interrupted_state, reserved) == 48, "cki_interrupted_state.reserved");

/*
 * In a Data frame of the guest's, one a vCPU, named by KSM_VCPU_INFO_SET; aligned to its size.
 * The guest writes all of it as it likes: nothing here is trusted, every word is read once.
 */
struct cki_vcpu_info {
	/*
	 * The guest's interrupt flag: 0 or not 0. An event is delivered iff CPL = 3, or this is
	 * not 0 and RIP is outside the entry code. Delivery clears it. The physical IF is always 1.
	 */
	__u8 interrupt_flag;
	/* 0. */
	__u8 reserved[7];
	/*
	 * Pending events, one bit each (EVENT_*). Set by the host with a locked OR, taken by the
	 * guest with XCHG. After setting interrupt_flag the guest looks here.
	 */
	__u64 events;
	/* 0. */
	__u64 reserved2[6];
	/* GATE_IRET's argument, filled in by the guest. */
	struct cki_return_state iret;
	/* Filled in by the monitor for HANDLER_EVENT_*. */
	struct cki_interrupted_state event;
	/* Filled in by the monitor for HANDLER_DEBUG_*. */
	struct cki_interrupted_state debug;
};
_Static_assert(sizeof(struct cki_vcpu_info) == 256, "cki_vcpu_info");
_Static_assert(__builtin_offsetof(struct cki_vcpu_info, interrupt_flag) == 0, "cki_vcpu_info.interrupt_flag");
_Static_assert(__builtin_offsetof(struct cki_vcpu_info, reserved) == 1, "cki_vcpu_info.reserved");
_Static_assert(__builtin_offsetof(struct cki_vcpu_info, events) == 8, "cki_vcpu_info.events");
_Static_assert(__builtin_offsetof(struct cki_vcpu_info, reserved2) == 16, "cki_vcpu_info.reserved2");
_Static_assert(__builtin_offsetof(struct cki_vcpu_info, iret) == 64, "cki_vcpu_info.iret");
_Static_assert(__builtin_offsetof(struct cki_vcpu_info, event) == 128, "cki_vcpu_info.event");
_Static_assert(__builtin_offsetof(struct cki_vcpu_info, debug) == 192, "cki_vcpu_info.debug");

/* At BOOT_INFO; the module writes it before OP_INIT. */
struct cki_monitor_boot {
	/* MONITOR_BOOT_MAGIC. */
	__u64 magic;
	/* ABI_VERSION. */
	__u32 abi_version;
	/* vCPUs, 1 to VCPUS_SUPPORTED. */
	__u32 vcpus;
	/* Entries used in `segments`, 1 to SEGMENTS_MAX. */
	__u32 segment_count;
	/* Entries used in `classes`. */
	__u32 class_count;
	/* Entries used in `shared`. */
	__u32 shared_count;
	/* First hardware PCID of this container. */
	__u32 pcid_base;
	/* The L4 entry of slot 256: hpa of the monitor's L3 table, with P, RW, A set and U, NX clear. */
	__u64 slot_entry;
	/* Consecutive hardware PCIDs that are its own, 0 to PCIDS_MAX. 0: CR4.PCIDE is 0. */
	__u32 pcids;
	/* 0. */
	__u32 reserved;
	/* 0. */
	__u64 reserved2[2];
	/* The container's memory, ascending, disjoint. */
	struct cki_segment segments[32];
	/* Frames that are not Data, ascending, disjoint. */
	struct cki_class_range classes[64];
	/* Frames outside of the segments that the guest may map read-only and not executable. */
	struct cki_segment shared[8];
	/* 0. */
	__u8 padding[1856];
};
_Static_assert(sizeof(struct cki_monitor_boot) == 4096, "cki_monitor_boot");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, magic) == 0, "cki_monitor_boot.magic");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, abi_version) == 8, "cki_monitor_boot.abi_version");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, vcpus) == 12, "cki_monitor_boot.vcpus");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, segment_count) == 16, "cki_monitor_boot.segment_count");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, class_count) == 20, "cki_monitor_boot.class_count");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, shared_count) == 24, "cki_monitor_boot.shared_count");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, pcid_base) == 28, "cki_monitor_boot.pcid_base");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, slot_entry) == 32, "cki_monitor_boot.slot_entry");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, pcids) == 40, "cki_monitor_boot.pcids");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, reserved) == 44, "cki_monitor_boot.reserved");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, reserved2) == 48, "cki_monitor_boot.reserved2");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, segments) == 64, "cki_monitor_boot.segments");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, classes) == 576, "cki_monitor_boot.classes");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, shared) == 2112, "cki_monitor_boot.shared");
_Static_assert(__builtin_offsetof(struct cki_monitor_boot, padding) == 2240, "cki_monitor_boot.padding");

/* At VCPU_SWITCH of each vCPU's area. */
struct cki_vcpu_switch {
	/* OP_*, from the module. */
	__u64 operation;
	/* Its arguments. */
	__u64 arguments[4];
	/* Result: 0 or a negated error. With a hypercall: the result that the module gives. */
	__u64 status;
	/* Second result, likewise. */
	__u64 value;
	/* KSM_EXIT_*, from the monitor. */
	__u64 exit;
	/* What goes with it. */
	__u64 exit_arguments[6];
	/* hpa of the vCPU's `struct cki_vcpu_info`; 0 before KSM_VCPU_INFO_SET. */
	__u64 vcpu_info_hpa;
	/* 0. */
	__u64 reserved;
	/* Last refusal. */
	struct cki_refusal refusal;
	/* Calls of GATE_CALL, without hypercalls. */
	__u64 calls;
	/* Returns by GATE_IRET. */
	__u64 returns;
	/*
	 * Frames that became page tables on this vCPU, without those that ceased to be on it: modulo 2^64, as another
	 * may have declared what this one releases.
	 */
	__u64 tables;
	/* 0. */
	__u8 padding[3880];
};
_Static_assert(sizeof(struct cki_vcpu_switch) == 4096, "cki_vcpu_switch");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, operation) == 0, "cki_vcpu_switch.operation");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, arguments) == 8, "cki_vcpu_switch.arguments");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, status) == 40, "cki_vcpu_switch.status");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, value) == 48, "cki_vcpu_switch.value");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, exit) == 56, "cki_vcpu_switch.exit");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, exit_arguments) == 64, "cki_vcpu_switch.exit_arguments");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, vcpu_info_hpa) == 112, "cki_vcpu_switch.vcpu_info_hpa");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, reserved) == 120, "cki_vcpu_switch.reserved");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, refusal) == 128, "cki_vcpu_switch.refusal");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, calls) == 192, "cki_vcpu_switch.calls");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, returns) == 200, "cki_vcpu_switch.returns");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, tables) == 208, "cki_vcpu_switch.tables");
_Static_assert(__builtin_offsetof(struct cki_vcpu_switch, padding) == 216, "cki_vcpu_switch.padding");

#endif /* !__ASSEMBLER__ */

#endif /* CKI_ABI_H */

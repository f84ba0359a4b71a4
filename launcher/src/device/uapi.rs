// SPDX-License-Identifier: MIT OR Apache-2.0

//! The structures of `kmod/include/uapi/linux/cki.h`, byte for byte.
//!
//! The constants below the structures hold every offset that the header implies; `tests/uapi.rs`
//! has a C compiler print the same offsets from the header itself.

use cki_session::Isolation;
use vm_memory::ByteValued;

/// `CKI_UAPI_VERSION`: version of the header that these structures are of.
pub const UAPI_VERSION: i32 = 2;
/// `CKI_MODE_NONE`: no container can run.
pub const MODE_NONE: u32 = 0;
/// `CKI_MODE_CKI`: PKS and the CKI extension.
pub const MODE_CKI: u32 = 1;
/// `CKI_UAPI_SEGMENTS_MAX`.
pub const SEGMENTS_MAX: usize = 32;
/// `CKI_RUN_SIZE`: bytes of a vCPU descriptor's mapping.
pub const RUN_SIZE: usize = 4096;

/// Bits of [`Info::missing`], `CKI_MISSING_*`.
pub mod missing {
    /// No protection keys for supervisor pages.
    pub const PKS: u32 = 1 << 0;
    /// No CKI extension.
    pub const EXTENSION: u32 = 1 << 1;
    /// Another feature of the CPU.
    pub const CPU: u32 = 1 << 2;
    /// The monitor's firmware file.
    pub const MONITOR: u32 = 1 << 3;
    /// The memory pool.
    pub const POOL: u32 = 1 << 4;
    /// The host kernel's configuration.
    pub const KERNEL: u32 = 1 << 5;
    /// KVM has the CPUs in VMX operation, at this moment.
    pub const VMX: u32 = 1 << 6;
}

/// `CKI_RUN_*`.
pub mod exit {
    /// Signal or nothing: run again.
    pub const INTR: u32 = 0;
    /// Console output.
    pub const CONSOLE_WRITE: u32 = 1;
    /// Console input wanted.
    pub const CONSOLE_READ: u32 = 2;
    /// Read of a virtio-mmio register.
    pub const MMIO_READ: u32 = 3;
    /// Write of a virtio-mmio register.
    pub const MMIO_WRITE: u32 = 4;
    /// The guest ended.
    pub const SHUTDOWN: u32 = 5;
    /// The guest kernel panicked.
    pub const PANIC: u32 = 6;
    /// The guest cannot go on.
    pub const GUEST_FAULT: u32 = 7;
    /// The monitor ended the container.
    pub const MONITOR_FAULT: u32 = 8;
    /// Its memory or CPU broke.
    pub const MACHINE_CHECK: u32 = 9;
}

/// `struct cki_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// In: bytes of this structure. Out: of the module's.
    pub size: u32,
    /// `CKI_MODE_*`.
    pub mode: u32,
    /// `CKI_MISSING_*`.
    pub missing: u32,
    /// `CKI_ABI_VERSION` of module and monitor.
    pub abi_version: u32,
    /// vCPUs that a container can have.
    pub vcpus_max: u32,
    /// Containers now.
    pub containers: u32,
    /// Bytes of the pool.
    pub pool_size: u64,
    /// Bytes of it that no container has.
    pub pool_free: u64,
    /// Frequency of the time-stamp counter, kHz.
    pub tsc_khz: u64,
    /// Pages of 4 KiB that their monitors take.
    pub monitor_pages: u32,
    /// 0.
    pub reserved: u32,
}

impl Default for Info {
    fn default() -> Self {
        Info {
            size: size_of::<Self>() as u32,
            mode: MODE_NONE,
            missing: 0,
            abi_version: 0,
            vcpus_max: 0,
            containers: 0,
            pool_size: 0,
            pool_free: 0,
            tsc_khz: 0,
            monitor_pages: 0,
            reserved: 0,
        }
    }
}

impl Info {
    /// What a container would keep its program from.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        match self.mode {
            MODE_CKI => Isolation::Full,
            _ => Isolation::None,
        }
    }
}

/// `struct cki_uapi_segment`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UapiSegment {
    /// Host-physical address, a multiple of 2 MiB.
    pub hpa: u64,
    /// Bytes, a multiple of 2 MiB.
    pub size: u64,
}

/// `struct cki_create`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Create {
    /// In: bytes of this structure.
    pub size: u32,
    /// In: 0.
    pub flags: u32,
    /// In: bytes, a multiple of 2 MiB, not 0.
    pub memory_size: u64,
    /// In: 1 to [`Info::vcpus_max`].
    pub vcpus: u32,
    /// In: the ABI that the launcher was built for.
    pub abi_version: u32,
    /// Out: entries used in `segments`.
    pub segment_count: u32,
    /// In: 0.
    pub reserved: u32,
    /// Out: the memory, ascending.
    pub segments: [UapiSegment; SEGMENTS_MAX],
}

impl Default for Create {
    fn default() -> Self {
        Create {
            size: size_of::<Self>() as u32,
            flags: 0,
            memory_size: 0,
            vcpus: 0,
            abi_version: 0,
            segment_count: 0,
            reserved: 0,
            segments: [UapiSegment::default(); SEGMENTS_MAX],
        }
    }
}

/// `struct cki_uapi_class`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UapiClass {
    /// Host-physical address, a multiple of 4 KiB.
    pub hpa: u64,
    /// Bytes, a multiple of 4 KiB.
    pub size: u64,
    /// `CLASS_*` of the ABI, not Data.
    pub class: u32,
    /// 0.
    pub reserved: u32,
}

/// `struct cki_boot_table`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootTable {
    /// A frame of class Pt.
    pub hpa: u64,
    /// `TABLE_L1` to `TABLE_L4`.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
}

/// `struct cki_seal`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    /// First frame, of class Exec.
    pub hpa: u64,
    /// Number of frames.
    pub frames: u64,
}

/// `struct cki_start`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Bytes of this structure.
    pub size: u32,
    /// 0.
    pub flags: u32,
    /// Pointer to the start info.
    pub start_info: u64,
    /// Pointer to [`UapiClass`]es.
    pub classes: u64,
    /// Pointer to [`Seal`]s.
    pub seals: u64,
    /// Pointer to [`BootTable`]s.
    pub tables: u64,
    /// Entries, at most 64.
    pub class_count: u32,
    /// Entries, at most 64.
    pub seal_count: u32,
    /// Entries, at most 65536.
    pub table_count: u32,
    /// 0.
    pub reserved: u32,
    /// The boot root.
    pub root_hpa: u64,
    /// Virtual address of the first instruction.
    pub entry: u64,
    /// Out, with EPERM: `OP_*`.
    pub refusal_op: u32,
    /// Out, with EPERM: `E_*`.
    pub refusal_error: u32,
    /// Out, with EPERM: index in seals or tables.
    pub refusal_index: u32,
    /// 0.
    pub reserved2: u32,
}

impl Default for Start {
    fn default() -> Self {
        Start {
            size: size_of::<Self>() as u32,
            flags: 0,
            start_info: 0,
            classes: 0,
            seals: 0,
            tables: 0,
            class_count: 0,
            seal_count: 0,
            table_count: 0,
            reserved: 0,
            root_hpa: 0,
            entry: 0,
            refusal_op: 0,
            refusal_error: 0,
            refusal_index: 0,
            reserved2: 0,
        }
    }
}

/// `struct cki_event`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Number of the vCPU.
    pub vcpu: u32,
    /// `EVENT_*` of the ABI, 0 to 63.
    pub event: u32,
}

/// `struct cki_run`. The union is `payload`; [`super::exit::Exit`] gives its parts names.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// In: not 0 makes `CKI_RUN` return at once.
    pub immediate_exit: u8,
    /// 0.
    pub reserved: [u8; 3],
    /// Out: `CKI_RUN_*`.
    pub exit_reason: u32,
    /// In, after an exit that the guest waits for: 0 or a negated `E_*`.
    pub status: i64,
    /// In, likewise: the second result.
    pub value: u64,
    /// 0.
    pub reserved2: [u64; 5],
    /// The union.
    pub payload: [u64; 64],
    /// Hypercalls since the start.
    pub exits_hypercall: u64,
    /// Physical interrupts that struck in the container.
    pub exits_interrupt: u64,
    /// Other exits.
    pub exits_other: u64,
    /// Nanoseconds spent idle.
    pub idle_ns: u64,
    /// Calls of the monitor's, `KSM_*`.
    pub monitor_calls: u64,
    /// Returns by the monitor's gate.
    pub monitor_returns: u64,
}

impl Default for Run {
    fn default() -> Self {
        Self::zeroed()
    }
}

// SAFETY: `repr(C)`, integers only, and no padding: the offsets below follow each other without gaps.
unsafe impl ByteValued for Run {}

/// Checks size and offsets of a structure when the crate is compiled.
macro_rules! layout {
    ($structure:ident, $size:literal, $($field:ident @ $offset:literal),+) => {
        const _: () = {
            assert!(size_of::<$structure>() == $size);
            $( assert!(std::mem::offset_of!($structure, $field) == $offset); )+
        };
    };
}

layout!(Info, 56, size @ 0, mode @ 4, missing @ 8, abi_version @ 12, vcpus_max @ 16,
    containers @ 20, pool_size @ 24, pool_free @ 32, tsc_khz @ 40, monitor_pages @ 48,
    reserved @ 52);
layout!(UapiSegment, 16, hpa @ 0, size @ 8);
layout!(Create, 544, size @ 0, flags @ 4, memory_size @ 8, vcpus @ 16, abi_version @ 20,
    segment_count @ 24, reserved @ 28, segments @ 32);
layout!(UapiClass, 24, hpa @ 0, size @ 8, class @ 16, reserved @ 20);
layout!(BootTable, 16, hpa @ 0, kind @ 8, reserved @ 12);
layout!(Seal, 16, hpa @ 0, frames @ 8);
layout!(Start, 88, size @ 0, flags @ 4, start_info @ 8, classes @ 16, seals @ 24, tables @ 32,
    class_count @ 40, seal_count @ 44, table_count @ 48, reserved @ 52, root_hpa @ 56, entry @ 64,
    refusal_op @ 72, refusal_error @ 76, refusal_index @ 80, reserved2 @ 84);
layout!(Event, 8, vcpu @ 0, event @ 4);
layout!(Run, 624, immediate_exit @ 0, reserved @ 1, exit_reason @ 4, status @ 8, value @ 16,
    reserved2 @ 24, payload @ 64, exits_hypercall @ 576, exits_interrupt @ 584, exits_other @ 592,
    idle_ns @ 600, monitor_calls @ 608, monitor_returns @ 616);

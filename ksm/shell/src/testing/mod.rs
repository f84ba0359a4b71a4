// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine for the shell on the host: areas and memory of a test's own, a CPU that remembers, a host that plays
//! along. Each test has its own, because each runs in a thread of its own.

use std::alloc::{Layout, alloc_zeroed};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use cki_abi::calls::arguments::{TABLE_L1, TABLE_L4};
use cki_abi::class::{CLASS_EXEC, CLASS_PT};
use cki_abi::layout::VCPU_STRIDE;
use cki_abi::limits::{CHUNK_SIZE, VCPUS_MAX, VCPUS_SUPPORTED};
use cki_abi::monitor::*;
use cki_abi::start_info::{ClassRange, Segment};
use cki_abi::version::{ABI_VERSION, MONITOR_BOOT_MAGIC};
use cki_ksm_core::Storage;

use crate::area::{AreaAddress, Vcpu};
use crate::gates::Exited;
use crate::lock::Lock;
use crate::operations;
use crate::state::Rules;
use crate::tables;

/// The container's memory: a chunk of Data, whose second half is Pt, Exec and so on.
pub const BASE: u64 = 0x4000_0000;
pub const INFO: u64 = BASE + 0x1000;
pub const ROOT: u64 = BASE + 0x10_0000;
pub const L1: u64 = ROOT + 0x1000;
pub const TEXT: u64 = BASE + 0x18_0000;
const SIZE: u64 = CHUNK_SIZE;

thread_local! {
    static VCPUS: Cell<u32> = const { Cell::new(VCPUS_SUPPORTED as u32) };
    static MEMORY: u64 = zeroed(SIZE, 0x1000);
    static RULES: Cell<&'static Lock<Rules>> = Cell::new(no_rules());
}

fn no_rules() -> &'static Lock<Rules> {
    Box::leak(Box::new(Lock::new(AtomicU32::new(0), Rules::None)))
}

fn zeroed(size: u64, align: u64) -> u64 {
    let layout = Layout::from_size_align(size as usize, align as usize).expect("a layout");
    // SAFETY: the size is not 0. It is never freed: a test is short.
    let memory = unsafe { alloc_zeroed(layout) };
    assert!(!memory.is_null());
    memory.expose_provenance() as u64
}

pub fn direct_map() -> u64 {
    MEMORY.with(|memory| *memory)
}

pub fn rules() -> &'static Lock<Rules> {
    RULES.get()
}

pub fn storage(bytes: u64) -> Result<Storage<'static>, u64> {
    let words = |count: u64| -> &'static [AtomicU64] {
        Box::leak((0..count).map(|_| AtomicU64::new(0)).collect())
    };
    Ok(Storage {
        frames: words(bytes >> 12),
        chunks: words(bytes >> 21),
    })
}

/// How many vCPUs the module asks for from now on.
pub fn ask_for_vcpus(count: u32) {
    VCPUS.set(count);
}

pub fn boot<R>(look: impl FnOnce(&MonitorBoot) -> R) -> R {
    let mut boot = MonitorBoot {
        magic: MONITOR_BOOT_MAGIC,
        abi_version: ABI_VERSION as u32,
        vcpus: VCPUS.get(),
        segment_count: 1,
        class_count: 2,
        slot_entry: 0x7000_0023,
        ..MonitorBoot::default()
    };
    boot.segments[0] = Segment {
        base: BASE,
        size: SIZE,
    };
    let range = |base, class: u64| ClassRange {
        base,
        size: 0x8000,
        class: class as u32,
        reserved: 0,
    };
    boot.classes[0] = range(ROOT, CLASS_PT);
    boot.classes[1] = range(TEXT, CLASS_EXEC);
    look(&boot)
}

/// A word of the container's memory.
pub fn word(hpa: u64) -> &'static AtomicU64 {
    assert!((BASE..BASE + SIZE).contains(&hpa) && hpa % 8 == 0);
    let address = direct_map() + hpa - BASE;
    // SAFETY: in the memory that zeroed() made, which stays.
    unsafe { AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(address as usize)) }
}

pub fn get(hpa: u64) -> u64 {
    word(hpa).load(Ordering::Relaxed)
}

pub fn put(hpa: u64, value: u64) {
    word(hpa).store(value, Ordering::Relaxed);
}

/// A vCPU of an area of its own, with its tables, in front of OP_INIT.
pub fn new_vcpu() -> Vcpu {
    let area = AreaAddress::at(zeroed(VCPU_STRIDE, VCPU_STRIDE * VCPUS_MAX));
    // SAFETY: the area is new.
    let mut vcpu = unsafe { Vcpu::enter(area) };
    assert!(vcpu.begin() && !vcpu.begin());
    tables::set_up_tables(&mut vcpu);
    vcpu
}

/// Carries out an operation of the module's; status and value.
pub fn operate(vcpu: &mut Vcpu, operation: u64, arguments: [u64; 4]) -> (u64, u64) {
    vcpu.switch().set_operation(operation, arguments);
    operations::operation(vcpu);
    assert_eq!(vcpu.switch().exit().0, KSM_EXIT_DONE);
    vcpu.switch().answer()
}

/// Adopts a table, in as many steps as it takes; status and value of the last.
pub fn adopt(vcpu: &mut Vcpu, arguments: [u64; 4]) -> (u64, u64) {
    loop {
        match operate(vcpu, OP_ADOPT, arguments) {
            (0, 1..) => {}
            end => return end,
        }
    }
}

/// A vCPU of a new container, with a monitor, a root and an L1 of the kernel's.
pub fn vcpu() -> Vcpu {
    RULES.set(no_rules());
    for hpa in (BASE..BASE + SIZE).step_by(8) {
        put(hpa, 0);
    }
    let mut vcpu = new_vcpu();
    assert_eq!(operate(&mut vcpu, OP_INIT, [0; 4]), (0, 0));
    for (table, kind) in [(ROOT, TABLE_L4), (L1, TABLE_L1)] {
        assert_eq!(adopt(&mut vcpu, [table, kind, 0, 0]), (0, 0));
    }
    vcpu
}

/// Does something that ends with leaving for the host for good: how.
pub fn end_of(what: impl FnOnce()) -> Exited {
    let end = catch_unwind(AssertUnwindSafe(what)).expect_err("it comes back");
    *end.downcast().expect("leaves for the host")
}

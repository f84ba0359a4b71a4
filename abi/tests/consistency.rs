// SPDX-License-Identifier: MIT OR Apache-2.0

//! The numbers of the ABI fit each other.

// A test names the relation that a compile-time assertion would only fail on.
#![allow(clippy::assertions_on_constants)]

use cki_abi::calls::arguments::{ENTRY_CLEARABLE, TABLE_L4, TABLE_USER};
use cki_abi::calls::{BatchEntry, KSM_CALLS};
use cki_abi::description::Abi;
use cki_abi::header::abi::GROUPS;
use cki_abi::hypercalls::HC_BASE;
use cki_abi::layout::*;
use cki_abi::limits::*;
use cki_abi::monitor::{MonitorBoot, VcpuSwitch};
use cki_abi::start_info::StartInfo;
use cki_abi::uapi::container::Create;
use cki_abi::uapi::run::{RUN_SIZE, RunPage};
use cki_abi::uapi::start::Start;
use cki_abi::uapi::system::Info;
use cki_abi::uapi::version::{CREATE_SIZE_LEAST, INFO_SIZE_LEAST, START_SIZE_LEAST};
use cki_abi::vcpu::VcpuInfo;
use cki_abi::{control, faults, isa, keys, selectors};

#[test]
fn the_regions_of_slot_256_follow_each_other_without_overlap() {
    let frames = FRAMES_MAX;
    let regions = [
        ("image", IMAGE_BASE, IMAGE_SIZE),
        ("shared", START_INFO, CHUNK_SIZE),
        ("boot info", BOOT_INFO, 0x1_0000),
        ("vcpus", VCPU_BASE, VCPUS_MAX * VCPU_STRIDE),
        ("frame table", FRAME_TABLE, frames * 8),
        ("chunk table", CHUNK_TABLE, frames / CHUNK_FRAMES * 8),
        ("direct map", DIRECT_MAP, frames * FRAME_SIZE),
    ];
    let mut end = SLOT_BASE;
    for (name, base, size) in regions {
        assert!(base >= end, "{name} begins inside its predecessor");
        end = base + size;
    }
    assert!(end <= SLOT_END);
}

#[test]
fn slot_256_is_the_slot_of_its_addresses() {
    for address in [
        SLOT_BASE,
        GATE_CALL,
        GATE_IRET,
        MONITOR_ENTRY,
        DIRECT_MAP,
        SLOT_END - 1,
    ] {
        assert_eq!(address >> 39 & 0x1ff, SLOT_MONITOR);
    }
    assert_eq!(SLOT_END >> 39 & 0x1ff, SLOT_MONITOR + 1);
}

#[test]
fn the_parts_of_a_vcpu_area_do_not_overlap() {
    let ist_top = VCPU_IST_TOP + (IST_COUNT - 1) * VCPU_IST_STRIDE;
    assert!(
        VCPU_STACK_TOP - 0x4000 > VCPU_SCRATCH + FRAME_SIZE,
        "guard page below the stack"
    );
    assert!(
        VCPU_IST_TOP - FRAME_SIZE > VCPU_STACK_TOP,
        "guard page below the first IST stack"
    );
    assert!(
        VCPU_IST_STRIDE >= 2 * FRAME_SIZE,
        "guard page below each IST stack"
    );
    assert!(ist_top <= VCPU_STRIDE);
}

#[test]
fn the_guest_reads_key_2_and_nothing_of_key_1() {
    let rights = |key: u64| keys::PKRS_GUEST >> (2 * key) & 3;
    assert_eq!(rights(keys::PKEY_GUEST), 0, "free");
    assert_eq!(rights(keys::PKEY_MONITOR), 3, "no access, no write");
    assert_eq!(rights(keys::PKEY_TABLES), 2, "no write");
    for key in 3..16 {
        assert_eq!(rights(key), 3, "key {key} is unused");
    }
    assert_eq!(keys::PKRS_GUEST >> 32, 0);
}

#[test]
fn clearable_bits_never_include_one_that_adds_a_right_or_unlinks() {
    const PRESENT: u64 = 1;
    const USER: u64 = 1 << 2;
    const PAGE_SIZE: u64 = 1 << 7;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    const KEY: u64 = 0xf << 59;
    const NO_EXECUTE: u64 = 1 << 63;
    assert_eq!(
        ENTRY_CLEARABLE & (PRESENT | USER | PAGE_SIZE | ADDRESS | KEY | NO_EXECUTE),
        0
    );
}

#[test]
fn structures_fit_their_places() {
    assert!(StartInfo::C.size as u64 <= CLOCK - START_INFO);
    assert!(MonitorBoot::C.size as u64 <= 0x1_0000);
    assert!(VcpuSwitch::C.size as u64 <= FRAME_SIZE);
    assert!(BatchEntry::C.size as u64 * BATCH_MAX <= FRAME_SIZE);
    assert!(
        VcpuInfo::C.size.is_power_of_two(),
        "aligned to its size it cannot cross a frame"
    );
}

#[test]
fn arrays_have_the_documented_maxima() {
    let info = StartInfo::ZERO;
    let boot = MonitorBoot::ZERO;
    assert_eq!(info.segments.len() as u64, SEGMENTS_MAX);
    assert_eq!(info.classes.len() as u64, CLASS_RANGES_MAX);
    assert_eq!(info.command_line.len() as u64, COMMAND_LINE_SIZE);
    assert_eq!(boot.segments.len() as u64, SEGMENTS_MAX);
    assert_eq!(boot.classes.len() as u64, CLASS_RANGES_MAX);
    assert_eq!(boot.shared.len() as u64, SHARED_RANGES_MAX);
    assert_eq!(Create::ZERO.segments.len() as u64, SEGMENTS_MAX);
}

#[test]
fn monitor_calls_and_hypercalls_have_disjoint_numbers() {
    assert!(KSM_CALLS <= HC_BASE);
    let numbers = |prefix: &str| {
        let mut found: Vec<_> = GROUPS
            .iter()
            .flat_map(|g| g.constants)
            .filter(|c| c.name.starts_with(prefix) && !c.name.starts_with("KSM_EXIT_"))
            .filter(|c| !["KSM_CALLS", "HC_BASE", "HC_END"].contains(&c.name))
            .map(|c| c.value)
            .collect();
        found.sort_unstable();
        found
    };
    let calls = numbers("KSM_");
    assert!(
        calls.iter().copied().eq(0..KSM_CALLS),
        "numbers are dense, for a jump table"
    );
    let hypercalls = numbers("HC_");
    assert!(
        hypercalls
            .iter()
            .copied()
            .eq(HC_BASE..cki_abi::hypercalls::HC_END)
    );
}

#[test]
fn table_kinds_and_flags_do_not_share_bits() {
    assert_eq!(TABLE_L4 & TABLE_USER, 0);
}

#[test]
fn syscall_never_clears_the_interrupt_flag() {
    const IF: u64 = 1 << 9;
    assert_eq!(selectors::SYSCALL_MASK & IF, 0, "I9");
}

#[test]
fn the_scan_pattern_cannot_overlap_itself() {
    let p = isa::WRPKRS;
    for shift in 1..p.len() {
        assert_ne!(
            p[shift..],
            p[..p.len() - shift],
            "found once is found everywhere"
        );
    }
}

#[test]
fn structures_of_the_device_only_grow() {
    assert!(Info::C.size >= INFO_SIZE_LEAST as usize);
    assert!(Create::C.size >= CREATE_SIZE_LEAST as usize);
    assert!(Start::C.size >= START_SIZE_LEAST as usize);
    assert!(RunPage::C.size <= RUN_SIZE as usize);
}

#[test]
fn faults_are_no_vectors() {
    assert!(
        faults::GROUP
            .constants
            .iter()
            .all(|fault| fault.value > 255)
    );
}

#[test]
fn a_control_bit_is_pinned_or_free() {
    assert_eq!(control::CR4_PINNED & control::CR4_FREE, 0);
    assert_eq!(
        control::CR4_PCIDE & (control::CR4_PINNED | control::CR4_FREE),
        0
    );
    assert_eq!(control::EFER_PINNED & control::EFER_FREE, 0);
}

#[test]
fn the_vendor_words_spell_the_name() {
    let words = [
        isa::CPUID_VENDOR_EBX,
        isa::CPUID_VENDOR_ECX,
        isa::CPUID_VENDOR_EDX,
    ];
    let text: Vec<u8> = words
        .iter()
        .flat_map(|&word| (word as u32).to_le_bytes())
        .collect();
    assert_eq!(text, b"CkiSecureISA");
}

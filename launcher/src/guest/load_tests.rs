// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loading into a container whose memory is a file.

use std::io::Write;
use std::os::unix::fs::FileExt;

use cki_abi::calls::arguments::TABLE_L4;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use vm_memory::GuestMemoryBackend;

use super::*;
use crate::guest::kernel::tests::{DIRECT_MAP, Elf, PHYSICAL, VIRTUAL};
use crate::module::fake::FakeContainer;
use crate::testing::{child, role};

const MIB: u64 = 1 << 20;
const BASE: u64 = 0x400 * MIB;
const SECOND: u64 = 0x900 * MIB;

fn input(bytes: &[u8]) -> Input {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Input {
        path: PathBuf::from("input"),
        file,
    }
}

fn boot() -> Boot {
    Boot {
        kernel: input(&Elf::linux_like().bytes()),
        initrd: Some(input(b"the ramdisk")),
        cmdline: "quiet cki.mode=session".to_owned(),
        devices: 2,
        page_tables: Some(4 * MIB),
    }
}

fn container() -> FakeContainer {
    FakeContainer::new(&[(BASE, 16 * MIB), (SECOND, 4 * MIB)])
}

#[test]
fn image_ramdisk_and_tables_are_where_the_start_info_says() {
    let container = container();
    load(&container, &boot()).unwrap();
    let log = container.log.lock().unwrap();
    let request = &log.starts[0];
    let info = &request.info;
    let read = |hpa: u64, length: usize| {
        let offset = if hpa >= SECOND {
            hpa - SECOND + 16 * MIB
        } else {
            hpa - BASE
        };
        let mut bytes = vec![0; length];
        container
            .memory()
            .read_exact_at(&mut bytes, offset)
            .unwrap();
        bytes
    };
    assert_eq!(info.image_hpa, BASE);
    assert_eq!(info.phys_base, BASE.wrapping_sub(PHYSICAL));
    assert_eq!(info.image_size, 0x41_3000);
    assert_eq!(read(BASE + 0x200, 1), [0xf4]);
    assert_eq!(read(BASE + 0x40_2344, 2), [7, 0]);
    assert_eq!(read(BASE + 0x41_0000, 1), [9]);
    assert_eq!(info.initrd_hpa, SECOND + 4 * MIB - FRAME);
    assert_eq!(info.initrd_size, 11);
    assert_eq!(read(info.initrd_hpa, 12), b"the ramdisk\0");
    assert_eq!(info.direct_map, DIRECT_MAP);
    assert_eq!(info.device_count, 2);
    assert_eq!(&info.command_line[..23], b"quiet cki.mode=session\0");
    assert_eq!(info.segment_count, 2);
    assert_eq!(info.segments[1].base, SECOND);
    assert_eq!(info.class_count, 4);
    assert_eq!(info.boot_root_hpa, request.root_hpa);
    assert_eq!(info.boot_tables_hpa, request.root_hpa);
    assert_eq!(info.boot_tables_size, request.tables.len() as u64 * FRAME);
    assert_eq!(request.entry, VIRTUAL + 0x200);
    // The root's entry for the image is present.
    let root = read(request.root_hpa, 4096);
    assert_eq!(root[511 * 8] & 1, 1);
    assert_eq!(u64::from(request.tables.last().unwrap().kind), TABLE_L4);
}

#[test]
fn all_text_is_sealed_and_only_text() {
    let container = container();
    load(&container, &boot()).unwrap();
    let log = container.log.lock().unwrap();
    let seals: Vec<(u64, u64)> = log.starts[0]
        .seals
        .iter()
        .map(|seal| (seal.hpa, seal.frames))
        .collect();
    assert_eq!(seals, [(BASE, 0x300)]);
}

#[test]
fn after_the_start_only_data_can_be_reached() {
    let container = container();
    let memory = load(&container, &boot()).unwrap();
    let classes = container.log.lock().unwrap().starts[0].classes.clone();
    for class in classes {
        assert!(!memory.address_in_range(GuestAddress(class.base)));
        assert!(!memory.address_in_range(GuestAddress(class.base + class.size - 1)));
    }
    assert!(memory.address_in_range(GuestAddress(BASE + 0x40_5000)));
    // It is the container's memory, at the right offset.
    memory.write_obj(0x5au8, GuestAddress(SECOND + 17)).unwrap();
    let mut byte = [0];
    let file = container.memory();
    file.read_exact_at(&mut byte, 16 * MIB + 17).unwrap();
    assert_eq!(byte, [0x5a]);
}

#[test]
fn bad_input_is_refused_before_the_start() {
    let refused = |change: &dyn Fn(&mut Boot)| {
        let container = container();
        let mut boot = boot();
        change(&mut boot);
        let error = load(&container, &boot).unwrap_err();
        assert!(container.log.lock().unwrap().starts.is_empty());
        error
    };
    assert!(matches!(
        refused(&|boot| boot.initrd = Some(input(b""))),
        LoadError::Empty(_)
    ));
    assert!(matches!(
        refused(&|boot| boot.kernel = input(b"#!/bin/sh\n")),
        LoadError::Kernel { .. }
    ));
    assert!(matches!(
        refused(&|boot| boot.cmdline = "x".repeat(2048)),
        LoadError::Cmdline(2048)
    ));
    assert!(matches!(
        refused(&|boot| boot.cmdline = "a\0b".to_owned()),
        LoadError::CmdlineZero
    ));
    assert!(matches!(
        refused(&|boot| boot.page_tables = Some(32 * MIB)),
        LoadError::Layout(LayoutError::TooSmall { .. })
    ));
}

#[test]
fn a_refusal_of_the_monitor_is_told() {
    let mut container = container();
    container.refuse = true;
    let error = load(&container, &boot()).unwrap_err();
    assert!(error.to_string().contains("E_GADGET"), "{error}");
}

#[test]
fn the_longest_command_line_ends_with_a_zero() {
    let container = container();
    let mut boot = boot();
    boot.cmdline = "x".repeat(2047);
    load(&container, &boot).unwrap();
    let log = container.log.lock().unwrap();
    assert_eq!(log.starts[0].info.command_line[2046..], [b'x', 0]);
}

/// A line of /proc/self/status, in bytes.
fn of_ourselves(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    words[1].parse::<u64>().unwrap() << 10
}

#[test]
fn loading_large_files_takes_no_memory_of_our_own() {
    const NAME: &str = "guest::load::tests::loading_large_files_takes_no_memory_of_our_own";
    if role(NAME).is_none() {
        let output = child(NAME, "load").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let mut elf = Elf::linux_like();
    elf.segments[2].3 = vec![9; 40 << 20];
    elf.segments[2].4 = 40 << 20;
    let boot = Boot {
        kernel: input(&elf.bytes()),
        initrd: Some(input(&vec![1; 8 << 20])),
        ..boot()
    };
    drop(elf);
    let container = FakeContainer::new(&[(BASE, 128 * MIB)]);
    // An allocation of more fails, however short its life: the limit counts private memory.
    let (data, anonymous) = (of_ourselves("VmData"), of_ourselves("RssAnon"));
    let (_, hard) = getrlimit(Resource::RLIMIT_DATA).unwrap();
    setrlimit(Resource::RLIMIT_DATA, data + MIB, hard).unwrap();
    load(&container, &boot).unwrap();
    let more = of_ourselves("RssAnon").saturating_sub(anonymous);
    assert!(more <= MIB, "{more} bytes");
    assert_eq!(container.log.lock().unwrap().starts.len(), 1);
}

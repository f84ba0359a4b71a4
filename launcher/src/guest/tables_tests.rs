// SPDX-License-Identifier: MIT OR Apache-2.0

//! The boot tables, walked as the CPU would and judged as the monitor does.

use std::sync::atomic::{AtomicU64, Ordering};

use cki_abi::class::{CLASS_PT, CLASS_RO};
use cki_abi::start_info::Segment;
use cki_ksm_core::{Config, Frame, Kind, PhysMem, Refusal, Setup, Storage};
use proptest::prelude::*;

use super::*;
use crate::guest::kernel::tests::{DIRECT_MAP, VIRTUAL, linux_like};
use crate::guest::layout::default_page_tables;

const MIB: u64 = 1 << 20;

/// Physical memory of a container in one piece.
struct Memory(Vec<AtomicU64>);

impl Memory {
    fn word(&self, frame: Frame, index: usize) -> &AtomicU64 {
        &self.0[frame.index() * ENTRIES + index]
    }
}

impl PhysMem for Memory {
    fn load(&self, frame: Frame, index: usize) -> u64 {
        self.word(frame, index).load(Ordering::SeqCst)
    }
    fn store(&self, frame: Frame, index: usize, value: u64) {
        self.word(frame, index).store(value, Ordering::SeqCst);
    }
    fn swap(&self, frame: Frame, index: usize, value: u64) -> u64 {
        self.word(frame, index).swap(value, Ordering::SeqCst)
    }
    fn compare_exchange(&self, frame: Frame, index: usize, old: u64, new: u64) -> Result<u64, u64> {
        self.word(frame, index)
            .compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
    }
    fn fetch_and(&self, frame: Frame, index: usize, mask: u64) -> u64 {
        self.word(frame, index).fetch_and(mask, Ordering::SeqCst)
    }
}

/// Hands the tables to the rules of the monitor, as module and monitor do at the start.
fn adopt(layout: &Layout, built: &BootTables) -> Result<(), Refusal> {
    let frames: u64 = layout.segments.iter().map(|s| s.size / FRAME).sum();
    let words = |count: u64| (0..count).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
    let memory = Memory(words(frames * ENTRIES as u64));
    for (number, table) in built.tables.iter().enumerate() {
        let mut first = 0;
        for segment in &layout.segments {
            let offset = built.hpa(number).wrapping_sub(segment.base);
            if offset < segment.size {
                let at = ((first + offset) / 8) as usize;
                for (index, entry) in table.entries.iter().enumerate() {
                    memory.0[at + index].store(*entry, Ordering::SeqCst);
                }
            }
            first += segment.size;
        }
    }
    let (frame_words, chunk_words) = (words(frames), words(frames / 512));
    let mut setup = Setup::new(
        &memory,
        &Config {
            segments: &layout.segments,
            classes: &layout.classes,
            shared: &[],
            vcpus: 1,
            pcid_base: 0,
            pcids: 0,
            slot_entry: 0x1000 | entry::PRESENT | entry::WRITABLE | entry::ACCESSED,
        },
        Storage {
            frames: &frame_words,
            chunks: &chunk_words,
        },
    )?;
    while setup.step()? != 0 {}
    let mut monitor = setup.finish()?;
    for range in &layout.classes {
        if u64::from(range.class) == CLASS_EXEC {
            for frame in 0..range.size / FRAME {
                monitor.seal(range.base + frame * FRAME, 1).1?;
            }
        }
    }
    for table in built.declarations() {
        let kind = Kind::from_abi(table.kind.into()).expect("a kind of the ABI");
        while monitor.adopt(table.hpa, kind)? != 0 {}
    }
    monitor.load_root(0, built.base).map(|_| ())
}

/// Where an address leads, and the rights there: writable, executable.
fn walk(built: &BootTables, address: u64) -> Option<(u64, bool, bool)> {
    let mut table = 0;
    for level in (1..=4u8).rev() {
        let entry = built.tables[table].entries[index(address, level)];
        if entry & entry::PRESENT == 0 {
            return None;
        }
        let size = 1 << (3 + 9 * u32::from(level));
        if level == 1 || entry & entry::PAGE_SIZE != 0 {
            let hpa = (entry & entry::ADDRESS & !(size - 1)) + address % size;
            return Some((
                hpa,
                entry & entry::WRITABLE != 0,
                entry & entry::NO_EXECUTE == 0,
            ));
        }
        table = (((entry & entry::ADDRESS) - built.base) / FRAME) as usize;
    }
    None
}

fn plan(list: &[(u64, u64)]) -> (Layout, Kernel, BootTables) {
    let segments: Vec<Segment> = list
        .iter()
        .map(|&(base, size)| Segment {
            base: base * MIB,
            size: size * MIB,
        })
        .collect();
    let memory: u64 = segments.iter().map(|s| s.size).sum();
    let kernel = linux_like();
    let layout = Layout::plan(&segments, &kernel, 123_456, default_page_tables(memory)).unwrap();
    let built = BootTables::build(&layout, &kernel).unwrap();
    (layout, kernel, built)
}

fn check_every_frame(layout: &Layout, built: &BootTables) {
    for segment in &layout.segments {
        for offset in (0..segment.size).step_by(FRAME as usize) {
            let hpa = segment.base + offset;
            let class = layout.class_of(hpa, FRAME).unwrap();
            let (to, writable, executable) = walk(built, DIRECT_MAP + hpa).expect("mapped");
            assert_eq!(to, hpa);
            assert_eq!(writable, class == CLASS_DATA, "{hpa:#x}");
            assert!(!executable, "{hpa:#x} in the direct map");
        }
    }
    for offset in (0..layout.image.size).step_by(FRAME as usize) {
        let hpa = layout.image.hpa + offset;
        let class = layout.class_of(hpa, FRAME).unwrap();
        let (to, writable, executable) = walk(built, VIRTUAL + offset).expect("mapped");
        assert_eq!(to, hpa);
        assert_eq!(writable, class == CLASS_DATA);
        assert_eq!(executable, class == CLASS_EXEC);
    }
}

#[test]
fn every_frame_is_mapped_with_the_rights_of_its_class() {
    let (layout, _, built) = plan(&[(0x400, 64)]);
    check_every_frame(&layout, &built);
    assert_eq!(walk(&built, VIRTUAL + layout.image.size), None);
    assert_eq!(walk(&built, DIRECT_MAP + 0x440 * MIB), None);
    assert_eq!(walk(&built, 0x1000), None);
}

#[test]
fn the_monitors_rules_adopt_the_tables() {
    for memory in [
        &[(0x400, 64)][..],
        &[(0x400, 8), (0x600, 2), (0x3ff0, 64)],
        &[(0x400, 6), (0x410, 6), (0x420, 6)],
    ] {
        let (layout, _, built) = plan(memory);
        assert_eq!(adopt(&layout, &built), Ok(()));
    }
}

#[test]
fn the_monitors_rules_refuse_tables_with_one_wrong_entry() {
    let (layout, _, good) = plan(&[(0x400, 64)]);
    let leaf = |class: u64| {
        let place = layout
            .classes
            .iter()
            .find(|range| u64::from(range.class) == class)
            .unwrap();
        DIRECT_MAP + place.base
    };
    let spoil = |address: u64, change: &dyn Fn(u64) -> u64| {
        let mut bad = good.clone();
        let mut table = 0;
        for level in (1..=4u8).rev() {
            let at = index(address, level);
            let entry = bad.tables[table].entries[at];
            if level == 1 || entry & entry::PAGE_SIZE != 0 {
                bad.tables[table].entries[at] = change(entry);
                break;
            }
            table = (((entry & entry::ADDRESS) - bad.base) / FRAME) as usize;
        }
        adopt(&layout, &bad)
    };
    let writable = |entry| entry | entry::WRITABLE;
    for class in [CLASS_PT, CLASS_EXEC, CLASS_RO] {
        assert_eq!(spoil(leaf(class), &writable), Err(Refusal::Class));
    }
    let data = DIRECT_MAP + 0x430 * MIB;
    assert_eq!(
        spoil(data, &|entry| entry & !entry::NO_EXECUTE),
        Err(Refusal::Execute)
    );
    assert_eq!(
        spoil(data, &|entry| entry + 0x1000 * MIB),
        Err(Refusal::Range)
    );
}

#[test]
fn tables_are_declared_after_those_they_link_to() {
    let (_, _, built) = plan(&[(0x400, 64)]);
    let list = built.declarations();
    assert_eq!(list.len(), built.tables.len());
    assert!(list.windows(2).all(|pair| pair[0].kind <= pair[1].kind));
    assert_eq!(list.last().unwrap().hpa, built.base);
}

#[test]
fn chunks_of_one_class_take_large_pages() {
    let (_, _, built) = plan(&[(0x400, 1024)]);
    // Root; two L3; the image's L2 and its two mixed chunks; L2 and two mixed chunks of the direct map,
    // and the ramdisk, which is Data like its surroundings, costs none.
    assert!(built.tables.len() <= 12, "{}", built.tables.len());
}

#[test]
fn fewer_frames_than_the_boot_tables_take_are_refused() {
    let (mut layout, kernel, _) = plan(&[(0x400, 64)]);
    layout.page_tables.size = FRAME;
    assert!(matches!(
        BootTables::build(&layout, &kernel),
        Err(TablesError::TooSmall { .. })
    ));
}

#[test]
fn a_direct_map_over_the_image_is_refused() {
    let (layout, mut kernel, _) = plan(&[(0x400, 64)]);
    kernel.direct_map = VIRTUAL - layout.image.hpa;
    assert_eq!(
        BootTables::build(&layout, &kernel),
        Err(TablesError::Overlap)
    );
    kernel.direct_map = 0u64.wrapping_sub(0x400 * MIB);
    assert_eq!(
        BootTables::build(&layout, &kernel),
        Err(TablesError::Overlap)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn tables_for_any_memory_are_right_and_adopted(
        gaps in proptest::collection::vec((1u64..2000, 1u64..12), 1..6),
        large in 8u64..24,
    ) {
        let mut base = 0x100;
        let mut list = Vec::new();
        for (gap, chunks) in gaps {
            base += 2 * gap;
            list.push((base, 2 * chunks));
            base += 2 * chunks;
        }
        list.push((base + 2, 2 * large));
        let (layout, _, built) = plan(&list);
        check_every_frame(&layout, &built);
        prop_assert_eq!(adopt(&layout, &built), Ok(()));
    }
}

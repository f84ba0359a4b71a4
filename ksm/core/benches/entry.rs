// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the rules cost: the monitor's share of a page-table update.
//!
//! Time here; the number that the specification promises is instructions, counted in the emulator.

// criterion_group! makes a public function without documentation.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use cki_abi::calls::arguments::{TABLE_L1, TABLE_L2, TABLE_USER};
use cki_abi::calls::{KSM_ENTRY_BATCH, KSM_ENTRY_SET, KSM_TABLE_DECLARE, KSM_TABLE_RELEASE};
use cki_abi::class::CLASS_PT;
use cki_abi::start_info::{ClassRange, Segment};
use cki_ksm_core::{Config, Frame, PhysMem, Scratch, Setup, Storage};
use criterion::{Criterion, criterion_group, criterion_main};

/// Flat memory, like the shell's direct map.
struct Flat(Vec<AtomicU64>);

impl Flat {
    fn word(&self, frame: Frame, index: usize) -> &AtomicU64 {
        &self.0[frame.index() * 512 + index]
    }
}

impl PhysMem for Flat {
    fn load(&self, frame: Frame, index: usize) -> u64 {
        self.word(frame, index).load(Ordering::Relaxed)
    }
    fn store(&self, frame: Frame, index: usize, value: u64) {
        self.word(frame, index).store(value, Ordering::Relaxed);
    }
    fn swap(&self, frame: Frame, index: usize, value: u64) -> u64 {
        self.word(frame, index).swap(value, Ordering::AcqRel)
    }
    fn compare_exchange(
        &self,
        frame: Frame,
        index: usize,
        expected: u64,
        value: u64,
    ) -> Result<u64, u64> {
        self.word(frame, index).compare_exchange(
            expected,
            value,
            Ordering::AcqRel,
            Ordering::Acquire,
        )
    }
    fn fetch_and(&self, frame: Frame, index: usize, mask: u64) -> u64 {
        self.word(frame, index).fetch_and(mask, Ordering::AcqRel)
    }
}

const BASE: u64 = 0x1_0000_0000;
const SIZE: u64 = 16 << 20;
const L1: u64 = BASE;
const L2: u64 = BASE + 0x1000;
const SPARE: u64 = BASE + 0x2000;
const DATA: u64 = BASE + (2 << 20);
const MAP: u64 = DATA | 0x67;

fn benches(c: &mut Criterion) {
    let words = |count: u64| (0..count).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
    let memory = Flat(words(SIZE / 8));
    let (frames, chunks) = (words(SIZE >> 12), words(SIZE >> 21));
    let config = Config {
        segments: &[Segment {
            base: BASE,
            size: SIZE,
        }],
        classes: &[ClassRange {
            base: BASE,
            size: 2 << 20,
            class: CLASS_PT as u32,
            reserved: 0,
        }],
        shared: &[],
        vcpus: 1,
        pcid_base: 0,
        pcids: 0,
        slot_entry: 0x23,
    };
    let storage = Storage {
        frames: &frames,
        chunks: &chunks,
    };
    let mut setup = Setup::new(&memory, &config, storage).expect("a good configuration");
    while setup.step().expect("enough storage") != 0 {}
    let mut monitor = setup.finish().expect("good classes");
    let mut scratch = Scratch::new();
    let mut call = |number, arguments| {
        monitor
            .call(0, black_box(number), black_box(arguments), &mut scratch)
            .expect("accepted")
    };
    call(KSM_TABLE_DECLARE, [L1, TABLE_L1 | TABLE_USER, 0, 0]);
    call(KSM_TABLE_DECLARE, [L2, TABLE_L2 | TABLE_USER, 0, 0]);
    for i in 0..64 {
        let list = ((DATA - BASE) / 8) as usize + 2 * i;
        memory.0[list].store(L1 + 8 * i as u64, Ordering::Relaxed);
        memory.0[list + 1].store(MAP, Ordering::Relaxed);
    }

    c.bench_function("set an L1 entry", |b| {
        b.iter(|| call(KSM_ENTRY_SET, [L1, MAP, 0, 0]))
    });
    c.bench_function("link and unlink a table", |b| {
        b.iter(|| {
            call(KSM_ENTRY_SET, [L2, L1 | 0x67, 0, 0]);
            call(KSM_ENTRY_SET, [L2, 0, 0, 0])
        });
    });
    c.bench_function("batch of 64", |b| {
        b.iter(|| call(KSM_ENTRY_BATCH, [DATA, 64, 0, 0]))
    });
    c.bench_function("declare and release a table", |b| {
        b.iter(|| {
            call(KSM_TABLE_DECLARE, [SPARE, TABLE_L1 | TABLE_USER, 0, 0]);
            call(KSM_TABLE_RELEASE, [SPARE, 0, 0, 0])
        });
    });
}

criterion_group!(group, benches);
criterion_main!(group);

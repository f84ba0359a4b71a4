// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine to try the rules on: sparse memory, a container in it, and short names.

// Each test file uses some of it.
#![allow(dead_code)]

pub mod caches;
pub mod oracle;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;

use cki_abi::class::{CLASS_EXEC, CLASS_PT, CLASS_RO};
use cki_abi::start_info::{ClassRange, Segment};

use cki_ksm_core::{Config, Frame, Kind, Monitor, PhysMem, Refusal, Scratch, Setup, Storage};

pub const P: u64 = 1;
pub const W: u64 = 1 << 1;
pub const U: u64 = 1 << 2;
pub const A: u64 = 1 << 5;
pub const D: u64 = 1 << 6;
pub const PS: u64 = 1 << 7;
pub const G: u64 = 1 << 8;
pub const NX: u64 = 1 << 63;
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
pub const PAGE: u64 = 0x1000;
pub const MIB2: u64 = 0x20_0000;
pub const GIB: u64 = 0x4000_0000;

/// Memory that exists where it was written; the rest reads as 0.
#[derive(Debug, Default)]
pub struct Sparse(RefCell<HashMap<(usize, usize), u64>>);

impl PhysMem for Sparse {
    fn load(&self, frame: Frame, index: usize) -> u64 {
        assert!(index < 512);
        self.0
            .borrow()
            .get(&(frame.index(), index))
            .copied()
            .unwrap_or(0)
    }
    fn store(&self, frame: Frame, index: usize, value: u64) {
        assert!(index < 512);
        if value == 0 {
            self.0.borrow_mut().remove(&(frame.index(), index));
        } else {
            self.0.borrow_mut().insert((frame.index(), index), value);
        }
    }
    fn swap(&self, frame: Frame, index: usize, value: u64) -> u64 {
        let old = self.load(frame, index);
        self.store(frame, index, value);
        old
    }
    fn compare_exchange(
        &self,
        frame: Frame,
        index: usize,
        expected: u64,
        value: u64,
    ) -> Result<u64, u64> {
        let old = self.load(frame, index);
        if old != expected {
            return Err(old);
        }
        self.store(frame, index, value);
        Ok(old)
    }
    fn fetch_and(&self, frame: Frame, index: usize, mask: u64) -> u64 {
        let old = self.load(frame, index);
        self.store(frame, index, old & mask);
        old
    }
    fn clear(&self, frame: Frame) {
        self.0.borrow_mut().retain(|&(f, _), _| f != frame.index());
    }
}

impl Sparse {
    /// Contents of a frame, as words that are not 0.
    pub fn entries(&self, frame: usize) -> Vec<(usize, u64)> {
        let memory = self.0.borrow();
        let mut found: Vec<_> = memory
            .iter()
            .filter(|((f, _), _)| *f == frame)
            .map(|((_, index), value)| (*index, *value))
            .collect();
        found.sort_unstable();
        found
    }

    pub fn word(&self, frame: usize, index: usize) -> u64 {
        self.0.borrow().get(&(frame, index)).copied().unwrap_or(0)
    }

    pub fn bytes(&self, frame: usize) -> Vec<u8> {
        (0..512)
            .flat_map(|i| self.word(frame, i).to_le_bytes())
            .collect()
    }

    /// What the hardware's page walker or the guest itself writes.
    pub fn poke(&self, frame: usize, index: usize, value: u64) {
        self.0.borrow_mut().insert((frame, index), value);
    }

    pub fn set_bytes(&self, frame: usize, offset: usize, bytes: &[u8]) {
        for (i, byte) in bytes.iter().enumerate() {
            let at = offset + i;
            let mut word = self.word(frame, at / 8).to_le_bytes();
            word[at % 8] = *byte;
            self.poke(frame, at / 8, u64::from_le_bytes(word));
        }
    }
}

/// The address of the monitor's L3 table.
pub const MONITOR_TABLE: u64 = 0x7_7777_7000;
pub const SLOT_ENTRY: u64 = MONITOR_TABLE | P | W | A;
/// A shared read-only frame.
pub const SHARED: u64 = 0x6_6666_6000;
/// A frame of the host's.
pub const HOST: u64 = 0x5_5555_5000;

/// First frame of each segment of [`World::new`]. Both begin with a chunk that is all Data. The
/// second chunk of LOW is mixed: Pt, Exec, Ro, Data; the third all Pt; the fourth all Exec; the fifth
/// all Ro. HIGH is 2 GiB of Data.
pub const LOW: u64 = 0x4000_0000;
pub const HIGH: u64 = 0x1_0000_0000;
const HIGH_SIZE: u64 = 2 * GIB;

pub const DATA: u64 = LOW;
pub const PT: u64 = LOW + MIB2;
pub const EXEC: u64 = PT + 0x40 * PAGE;
pub const RO: u64 = PT + 0x80 * PAGE;
pub const MIXED_DATA: u64 = PT + 0xc0 * PAGE;
pub const ALL_PT: u64 = LOW + 2 * MIB2;
pub const ALL_EXEC: u64 = LOW + 3 * MIB2;
pub const ALL_RO: u64 = LOW + 4 * MIB2;
const LOW_SIZE: u64 = 5 * MIB2;

pub fn low_classes() -> Vec<ClassRange> {
    let range = |base, frames: u64, class: u64| ClassRange {
        base,
        size: frames * PAGE,
        class: class as u32,
        reserved: 0,
    };
    vec![
        range(PT, 0x40, CLASS_PT),
        range(EXEC, 0x40, CLASS_EXEC),
        range(RO, 0x40, CLASS_RO),
        range(ALL_PT, 512, CLASS_PT),
        range(ALL_EXEC, 512, CLASS_EXEC),
        range(ALL_RO, 512, CLASS_RO),
    ]
}

/// A container with its monitor.
pub struct World {
    pub memory: &'static Sparse,
    pub monitor: Monitor<'static, &'static Sparse>,
    pub segments: Vec<Segment>,
    pub classes: Vec<ClassRange>,
    pub scratch: Scratch,
    pub vcpus: usize,
    storage: Storage<'static>,
}

pub fn words(count: usize) -> &'static [AtomicU64] {
    Box::leak((0..count).map(|_| AtomicU64::new(0)).collect())
}

/// A monitor that is ready, in as many steps as it takes.
pub fn monitor<'a, M: PhysMem>(
    memory: M,
    config: &Config<'_>,
    storage: Storage<'a>,
) -> Result<Monitor<'a, M>, Refusal> {
    let mut setup = Setup::new(memory, config, storage)?;
    while setup.step()? != 0 {}
    setup.finish()
}

/// Makes a frame a table with the contents that it has, in as many steps as it takes.
pub fn adopt<M: PhysMem>(
    monitor: &mut Monitor<'_, M>,
    hpa: u64,
    kind: Kind,
) -> Result<(), Refusal> {
    while monitor.adopt(hpa, kind)? != 0 {}
    Ok(())
}

impl World {
    /// Two segments, all classes, two vCPUs that run.
    pub fn new() -> Self {
        Self::with(
            &[
                Segment {
                    base: LOW,
                    size: LOW_SIZE,
                },
                Segment {
                    base: HIGH,
                    size: HIGH_SIZE,
                },
            ],
            &low_classes(),
            2,
        )
    }

    /// The first segment only: cheap to make.
    pub fn small(vcpus: usize) -> Self {
        Self::small_and_started(vcpus, vcpus)
    }

    /// Of `vcpus`, the first `started` run.
    pub fn small_and_started(vcpus: usize, started: usize) -> Self {
        let segment = Segment {
            base: LOW,
            size: LOW_SIZE,
        };
        Self::with_some(&[segment], &low_classes(), vcpus, started)
    }

    pub fn with(segments: &[Segment], classes: &[ClassRange], vcpus: usize) -> Self {
        Self::with_some(segments, classes, vcpus, vcpus)
    }

    fn with_some(
        segments: &[Segment],
        classes: &[ClassRange],
        vcpus: usize,
        started: usize,
    ) -> Self {
        let frames: u64 = segments.iter().map(|s| s.size / PAGE).sum();
        let storage = Storage {
            frames: words(frames as usize),
            chunks: words(frames as usize / 512),
        };
        let memory: &'static Sparse = Box::leak(Box::default());
        Self::build(memory, segments, classes, [vcpus, started], storage)
    }

    /// The same container from its start, in the same memory.
    pub fn restart(self) -> Self {
        self.memory.0.borrow_mut().clear();
        Self::build(
            self.memory,
            &self.segments,
            &self.classes,
            [self.vcpus; 2],
            self.storage,
        )
    }

    fn build(
        memory: &'static Sparse,
        segments: &[Segment],
        classes: &[ClassRange],
        [vcpus, started]: [usize; 2],
        storage: Storage<'static>,
    ) -> Self {
        let config = Config {
            segments,
            classes,
            shared: &[Segment {
                base: SHARED,
                size: PAGE,
            }],
            vcpus: vcpus as u32,
            pcid_base: 0x100,
            pcids: 8,
            slot_entry: SLOT_ENTRY,
        };
        let mut monitor = self::monitor(memory, &config, storage).expect("a good configuration");
        for vcpu in 0..started {
            monitor.start_vcpu(vcpu).expect("a vCPU");
        }
        World {
            memory,
            monitor,
            segments: segments.to_vec(),
            classes: classes.to_vec(),
            scratch: Scratch::new(),
            vcpus,
            storage,
        }
    }

    /// Dense number of the frame at an address.
    pub fn frame(&self, hpa: u64) -> usize {
        self.monitor
            .segments()
            .find(hpa)
            .expect("an address of the container")
            .index()
    }

    pub fn declare(&mut self, hpa: u64, level: u8, user: bool) -> Result<(), Refusal> {
        let kind = Kind::new(level, user).expect("a kind");
        self.monitor.declare(hpa, kind)
    }

    pub fn adopt(&mut self, hpa: u64, level: u8, user: bool) -> Result<(), Refusal> {
        let kind = Kind::new(level, user).expect("a kind");
        adopt(&mut self.monitor, hpa, kind)
    }

    pub fn set(&mut self, table: u64, index: u64, value: u64) -> Result<(), Refusal> {
        self.monitor.set_entry(table + 8 * index, value)
    }

    pub fn entry(&self, table: u64, index: u64) -> u64 {
        self.memory.word(self.frame(table), index as usize)
    }

    /// In as many calls as it takes.
    pub fn seal(&mut self, hpa: u64, count: u64) -> Result<(), Refusal> {
        let mut done = 0;
        loop {
            let (sealed, outcome) = self.monitor.seal(hpa + done * PAGE, count - done);
            outcome?;
            assert_ne!(sealed, 0, "a call seals at least one frame");
            done += sealed;
            if done == count {
                return Ok(());
            }
        }
    }

    pub fn flush(&mut self, vcpu: usize) {
        let flush = self.monitor.begin_flush();
        self.monitor.finish_flush(vcpu, flush).expect("a vCPU");
    }

    pub fn flush_everywhere(&mut self) {
        for vcpu in 0..self.vcpus {
            self.flush(vcpu);
        }
    }

    pub fn references(&self, hpa: u64) -> u64 {
        let frame = self
            .monitor
            .segments()
            .find(hpa)
            .expect("an address of the container");
        self.monitor
            .frames()
            .word(frame)
            .expect("a word")
            .references()
    }

    /// Declares L4, L3, L2, L1 for one half in consecutive frames from `base` on, and links them
    /// in entry 0 each, slot `slot` of the L4. Returns their addresses, L1 first.
    pub fn tower(&mut self, base: u64, slot: u64) -> [u64; 4] {
        let user = slot < 256;
        let tables = [base, base + PAGE, base + 2 * PAGE, base + 3 * PAGE];
        for (table, level) in tables.iter().zip(1..) {
            self.declare(*table, level, user && level < 4)
                .expect("declare");
        }
        let flags = P | W | U | A;
        self.set(tables[1], 0, tables[0] | flags).expect("link L1");
        self.set(tables[2], 0, tables[1] | flags).expect("link L2");
        self.set(tables[3], slot, tables[2] | flags)
            .expect("link L3");
        tables
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! One container's monitor: what it is made of, and how it starts.

use core::sync::atomic::AtomicU64;

use cki_abi::limits::{CHUNK_FRAMES, CLASS_RANGES_MAX, FRAME_SIZE, PCIDS_MAX, VCPUS_MAX};
use cki_abi::start_info::{ClassRange, Segment};

use crate::adoption::Adoption;
use crate::chunk::{Chunks, FRAMES_SHIFT};
use crate::edges::EdgeCounts;
use crate::entry::{ACCESSED, ADDRESS, PRESENT, WRITABLE};
use crate::epochs::Epochs;
use crate::frame::{Class, Frame, Frames};
use crate::memory::PhysMem;
use crate::refusal::Refusal;
use crate::segment::{Segments, Shared};

/// What the host decides about a container before it starts (`struct cki_monitor_boot`).
#[derive(Clone, Copy, Debug)]
pub struct Config<'c> {
    /// Delegated memory, ascending and disjoint.
    pub segments: &'c [Segment],
    /// Frames that are not Data, ascending and disjoint.
    pub classes: &'c [ClassRange],
    /// Frames that the guest may map read-only.
    pub shared: &'c [Segment],
    /// vCPUs, 1 to `VCPUS_MAX`.
    pub vcpus: u32,
    /// First of the container's hardware PCIDs.
    pub pcid_base: u32,
    /// How many it has; 0 if the CPU has none.
    pub pcids: u32,
    /// L4 entry of slot 256.
    pub slot_entry: u64,
}

/// Memory for the monitor's tables, of the monitor's own; its contents do not matter.
#[derive(Clone, Copy, Debug)]
pub struct Storage<'a> {
    /// At least one word a frame.
    pub frames: &'a [AtomicU64],
    /// At least one word a chunk of 512 frames.
    pub chunks: &'a [AtomicU64],
}

/// The monitor of one container. See the crate's documentation for its lock.
#[derive(Debug)]
pub struct Monitor<'a, M> {
    pub(crate) memory: M,
    pub(crate) segments: Segments,
    pub(crate) shared: Shared,
    pub(crate) frames: Frames<'a>,
    pub(crate) chunks: Chunks<'a>,
    pub(crate) epochs: Epochs,
    pub(crate) edges: EdgeCounts,
    pub(crate) adoption: Option<Adoption>,
    pub(crate) roots: [Option<Frame>; VCPUS_MAX as usize],
    pub(crate) pcid_base: u64,
    pub(crate) pcids: u64,
    pub(crate) slot_entry: u64,
}

/// A monitor that is being made: a word for each frame takes longer than a call may last (I9), so it is
/// made step by step.
#[derive(Debug)]
pub struct Setup<'a, M> {
    monitor: Monitor<'a, M>,
    classes: Classes,
    /// First frame that has no word yet.
    next: u32,
}

/// Chunks of which a step makes the words. The first step has as much to do besides.
const CHUNKS_AT_ONCE: u32 = 2;

impl<'a, M: PhysMem> Setup<'a, M> {
    /// Checks a configuration.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] or [`Refusal::Limit`] for a configuration that breaks a documented
    /// rule of [`Config`], [`Segments::new`] or [`Shared::new`], or too little storage.
    pub fn new(memory: M, config: &Config<'_>, storage: Storage<'a>) -> Result<Self, Refusal> {
        let segments = Segments::new(config.segments)?;
        let shared = Shared::new(config.shared, &segments)?;
        let count = segments.frames() as usize;
        if storage.frames.len() < count || storage.chunks.len() < count >> FRAMES_SHIFT {
            return Err(Refusal::Argument);
        }
        if config.vcpus == 0 || u64::from(config.vcpus) > VCPUS_MAX {
            return Err(Refusal::Argument);
        }
        // PCIDs have twelve bits (Intel SDM Vol. 3A 4.10.1).
        let pcids = u64::from(config.pcids);
        if pcids > PCIDS_MAX || u64::from(config.pcid_base) + pcids > 1 << 12 {
            return Err(Refusal::Argument);
        }
        // I5: supervisor only, no superpage, nothing for the walker to write, not in guest memory.
        if config.slot_entry & !ADDRESS != PRESENT | WRITABLE | ACCESSED
            || segments.find(config.slot_entry & ADDRESS).is_some()
        {
            return Err(Refusal::Argument);
        }
        let classes = Classes::new(config.classes, &segments)?;
        let monitor = Monitor {
            memory,
            segments,
            shared,
            frames: Frames::new(storage.frames),
            chunks: Chunks::new(storage.chunks),
            epochs: Epochs::new(config.vcpus as usize),
            edges: EdgeCounts::default(),
            adoption: None,
            roots: [None; VCPUS_MAX as usize],
            pcid_base: u64::from(config.pcid_base),
            pcids,
            slot_entry: config.slot_entry,
        };
        Ok(Setup {
            monitor,
            classes,
            next: 0,
        })
    }

    /// Makes the words of some more frames; how many are left.
    ///
    /// # Errors
    ///
    /// [`Refusal::Monitor`] if the storage is too short, which [`Setup::new`] excludes.
    pub fn step(&mut self) -> Result<u64, Refusal> {
        let frames = self.monitor.segments.frames();
        let end = (self.next + (CHUNKS_AT_ONCE << FRAMES_SHIFT)).min(frames);
        while self.next < end {
            let first = Frame::new(self.next);
            let common = self.classes.set(first, &self.monitor.frames)?;
            self.monitor.chunks.reset(first, common)?;
            self.next += CHUNK_FRAMES as u32;
        }
        Ok(u64::from(frames - end))
    }

    /// The monitor, when every frame has its word.
    ///
    /// # Errors
    ///
    /// [`Refusal::State`] before that.
    pub fn finish(self) -> Result<Monitor<'a, M>, Refusal> {
        if self.next < self.monitor.segments.frames() {
            return Err(Refusal::State);
        }
        Ok(self.monitor)
    }
}

impl<'a, M: PhysMem> Monitor<'a, M> {
    /// The words of the frames, for inspection.
    #[must_use]
    pub fn frames(&self) -> &Frames<'a> {
        &self.frames
    }

    /// The container's memory map.
    #[must_use]
    pub fn segments(&self) -> &Segments {
        &self.segments
    }
}

/// Which frames are not Data.
#[derive(Debug)]
struct Classes {
    /// First frame, number of frames, class; ascending and disjoint.
    ranges: [(u32, u32, Class); CLASS_RANGES_MAX as usize],
    count: usize,
}

impl Classes {
    fn new(list: &[ClassRange], segments: &Segments) -> Result<Self, Refusal> {
        let mut ranges = [(0, 0, Class::Data); CLASS_RANGES_MAX as usize];
        if list.len() > ranges.len() {
            return Err(Refusal::Argument);
        }
        let mut end = 0;
        for (place, range) in ranges.iter_mut().zip(list) {
            let class = Class::from_abi(u64::from(range.class)).ok_or(Refusal::Argument)?;
            if class == Class::Data
                || range.size == 0
                || (range.base | range.size) % FRAME_SIZE != 0
                || range.base < end
            {
                return Err(Refusal::Argument);
            }
            let first = segments
                .find_span(range.base, range.size)
                .ok_or(Refusal::Argument)?;
            *place = (
                first.index() as u32,
                (range.size / FRAME_SIZE) as u32,
                class,
            );
            end = range.base + range.size;
        }
        Ok(Classes {
            ranges,
            count: list.len(),
        })
    }

    /// Sets up the words of the chunk that begins at `first`; its frames' class, if they have one.
    fn set(&self, first: Frame, frames: &Frames<'_>) -> Result<Option<Class>, Refusal> {
        let mut from = first.index() as u32;
        let end = from + CHUNK_FRAMES as u32;
        let (mut of_first, mut mixed) = (None, false);
        let mut reset = |range: core::ops::Range<u32>, class| {
            mixed |= !range.is_empty() && *of_first.get_or_insert(class) != class;
            range
                .map(Frame::new)
                .try_for_each(|frame| frames.reset(frame, class))
        };
        for &(start, count, class) in self.ranges.iter().take(self.count) {
            let (start, until) = (start.max(from), (start + count).min(end));
            if start < until {
                reset(from..start, Class::Data)?;
                reset(start..until, class)?;
                from = until;
            }
        }
        reset(from..end, Class::Data)?;
        Ok(if mixed { None } else { of_first })
    }
}

//! One container's monitor: what it is made of, and how it starts.

use core::sync::atomic::AtomicU64;

use cki_abi::limits::{FRAME_SIZE, PCIDS_MAX, VCPUS_MAX};
use cki_abi::start_info::{ClassRange, Segment};

use crate::chunk::{Chunks, FRAMES_SHIFT};
use crate::entry::{ACCESSED, ADDRESS, PRESENT, WRITABLE};
use crate::flush::Epochs;
use crate::frame::{Class, Frame, Frames};
use crate::memory::PhysMem;
use crate::refusal::Refusal;
use crate::scan::EdgeCounts;
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
    pub(crate) roots: [Option<Frame>; VCPUS_MAX as usize],
    pub(crate) pcid_base: u64,
    pub(crate) pcids: u64,
    pub(crate) slot_entry: u64,
}

impl<'a, M: PhysMem> Monitor<'a, M> {
    /// A monitor for memory that has just been delegated: no table is declared, no frame sealed,
    /// no vCPU runs.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] or [`Refusal::Limit`] for a configuration that breaks a documented
    /// rule of [`Config`], [`Segments::new`] or [`Shared::new`], or too little storage.
    pub fn new(memory: M, config: &Config<'_>, storage: Storage<'a>) -> Result<Self, Refusal> {
        let segments = Segments::new(config.segments)?;
        let shared = Shared::new(config.shared, &segments)?;
        let frames = Frames::new(storage.frames);
        let chunks = Chunks::new(storage.chunks);
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
        for number in 0..segments.frames() {
            frames.reset(Frame::new(number), Class::Data)?;
        }
        assign_classes(&segments, &frames, config.classes)?;
        for chunk in 0..segments.frames() >> FRAMES_SHIFT {
            let first = Frame::new(chunk << FRAMES_SHIFT);
            chunks.reset(first, common_class(&frames, first)?)?;
        }
        Ok(Monitor {
            memory,
            segments,
            shared,
            frames,
            chunks,
            epochs: Epochs::new(config.vcpus as usize),
            edges: EdgeCounts::default(),
            roots: [None; VCPUS_MAX as usize],
            pcid_base: u64::from(config.pcid_base),
            pcids,
            slot_entry: config.slot_entry,
        })
    }

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

fn assign_classes(
    segments: &Segments,
    frames: &Frames<'_>,
    ranges: &[ClassRange],
) -> Result<(), Refusal> {
    let mut end = 0;
    for range in ranges {
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
        for offset in 0..(range.size / FRAME_SIZE) as u32 {
            frames.reset(first.plus(offset), class)?;
        }
        end = range.base + range.size;
    }
    Ok(())
}

/// The class of all frames of the chunk that begins at `first`; `None` if they differ.
fn common_class(frames: &Frames<'_>, first: Frame) -> Result<Option<Class>, Refusal> {
    let class = frames.word(first)?.class();
    for offset in 1..1 << FRAMES_SHIFT {
        if frames.word(first.plus(offset))?.class() != class {
            return Ok(None);
        }
    }
    Ok(class)
}

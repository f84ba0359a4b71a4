// SPDX-License-Identifier: MIT OR Apache-2.0

//! The container's memory (I1): which host-physical addresses it is made of.

use cki_abi::limits::{CHUNK_SIZE, FRAME_SIZE, FRAMES_MAX, SEGMENTS_MAX, SHARED_RANGES_MAX};
use cki_abi::start_info::Segment;

use crate::entry::ADDRESS;
use crate::frame::Frame;
use crate::refusal::Refusal;

#[derive(Clone, Copy, Debug, Default)]
struct Range {
    base: u64,
    size: u64,
    first: u32,
}

const _: () = assert!(SEGMENTS_MAX == 32, "find_span() takes five steps");

/// The segments of a container, ascending and disjoint.
#[derive(Debug)]
pub struct Segments {
    /// The largest of them.
    largest: Range,
    ranges: [Range; SEGMENTS_MAX as usize],
    /// Their bases again, close together; behind the last, what is above every address.
    bases: [u64; SEGMENTS_MAX as usize],
    count: usize,
    frames: u32,
}

impl Segments {
    /// Takes over what the host delegates.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] for none or too many segments, one that is empty, not made of whole
    /// chunks, not above its predecessor or beyond 52 bits; [`Refusal::Limit`] for more than
    /// `FRAMES_MAX` frames.
    pub fn new(list: &[Segment]) -> Result<Self, Refusal> {
        if list.is_empty() || list.len() > SEGMENTS_MAX as usize {
            return Err(Refusal::Argument);
        }
        let mut ranges = [Range::default(); SEGMENTS_MAX as usize];
        let mut bases = [u64::MAX; SEGMENTS_MAX as usize];
        let mut largest = Range::default();
        let mut frames = 0;
        let mut end = 0;
        for ((range, base), segment) in ranges.iter_mut().zip(&mut bases).zip(list) {
            let next = segment
                .base
                .checked_add(segment.size)
                .ok_or(Refusal::Argument)?;
            if segment.size == 0
                || (segment.base | segment.size) % CHUNK_SIZE != 0
                || segment.base < end
                || next > ADDRESS + FRAME_SIZE
            {
                return Err(Refusal::Argument);
            }
            let size = segment.size / FRAME_SIZE;
            if size > FRAMES_MAX - u64::from(frames) {
                return Err(Refusal::Limit);
            }
            *base = segment.base;
            *range = Range {
                base: segment.base,
                size: segment.size,
                first: frames,
            };
            if largest.size < range.size {
                largest = *range;
            }
            frames += size as u32;
            end = next;
        }
        Ok(Segments {
            largest,
            ranges,
            bases,
            count: list.len(),
            frames,
        })
    }

    /// Frames of all segments.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// The frame that holds the byte at `hpa`.
    #[must_use]
    #[inline(always)]
    pub fn find(&self, hpa: u64) -> Option<Frame> {
        // Most memory of most containers lies in one segment: this is most of what an update pays for I1.
        let range = &self.largest;
        let offset = hpa.wrapping_sub(range.base);
        if offset < range.size {
            return Some(Frame::new(range.first + (offset / FRAME_SIZE) as u32));
        }
        self.find_span(hpa, 1)
    }

    /// The first frame of the `size` bytes (at least 1) from `hpa`, if one segment holds them all
    /// (XSA-148: of a superpage every frame counts).
    #[must_use]
    #[inline(never)]
    pub fn find_span(&self, hpa: u64, size: u64) -> Option<Frame> {
        // The last range that does not begin above the address, by halving: a call's bound has to bear
        // 32 segments (I9).
        let mut at = 0;
        for step in [16, 8, 4, 2, 1] {
            if self.bases[at + step] <= hpa {
                at += step;
            }
        }
        let range = &self.ranges[at];
        let offset = hpa.wrapping_sub(range.base);
        if offset >= range.size || range.size - offset < size {
            return None;
        }
        Some(Frame::new(range.first + (offset / FRAME_SIZE) as u32))
    }
}

/// Frames outside of the segments that the guest may map read-only: start info, clock.
#[derive(Debug)]
pub struct Shared {
    ranges: [(u64, u64); SHARED_RANGES_MAX as usize],
    count: usize,
}

impl Shared {
    /// Takes over what the host shares.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] for too many ranges, or one that is empty, not made of whole frames,
    /// beyond 52 bits, or overlaps a segment: its frames would have two sets of rules.
    pub fn new(list: &[Segment], segments: &Segments) -> Result<Self, Refusal> {
        if list.len() > SHARED_RANGES_MAX as usize {
            return Err(Refusal::Argument);
        }
        let mut ranges = [(0, 0); SHARED_RANGES_MAX as usize];
        for (range, shared) in ranges.iter_mut().zip(list) {
            let end = shared
                .base
                .checked_add(shared.size)
                .ok_or(Refusal::Argument)?;
            let overlaps = segments
                .ranges
                .iter()
                .take(segments.count)
                .any(|s| shared.base < s.base + s.size && s.base < end);
            if shared.size == 0
                || (shared.base | shared.size) % FRAME_SIZE != 0
                || end > ADDRESS + FRAME_SIZE
                || overlaps
            {
                return Err(Refusal::Argument);
            }
            *range = (shared.base, shared.size);
        }
        Ok(Shared {
            ranges,
            count: list.len(),
        })
    }

    /// Whether the frame at `hpa` is shared.
    #[must_use]
    pub fn contains(&self, hpa: u64) -> bool {
        self.ranges
            .iter()
            .take(self.count)
            .any(|&(base, size)| hpa.wrapping_sub(base) < size)
    }
}

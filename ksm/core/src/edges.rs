// SPDX-License-Identifier: MIT OR Apache-2.0

//! WRPKRS across pages of text (I6).
//!
//! The guest maps its executable frames at any addresses it likes, so the end of any of them may be
//! followed by the start of any. A sequence split after its k-th byte is excluded by never having,
//! at the same time, a sealed frame that ends with the first k bytes and one that begins with the
//! other 4 - k. (Before and after slot 256 nothing of a guest's is executable at CPL 0: slot 255
//! is user space, and the end of slot 256 is never mapped.)

use core::ops::Range;

use cki_abi::isa::WRPKRS;
use cki_abi::limits::FRAME_SIZE;

use crate::refusal::Refusal;

const LENGTH: usize = WRPKRS.len();
const BYTES: usize = FRAME_SIZE as usize;
/// Ways to split the sequence in two.
const SPLITS: usize = LENGTH - 1;

/// What the edges of a frame could complete: bit k-1, the frame ends with the first k bytes of
/// the sequence; bit 3 + k-1, it begins with all but the first k.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edges(u8);

impl Edges {
    /// As it is kept in the word of a frame: 6 bits.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// What [`Edges::bits`] gave.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Edges(bits)
    }

    /// Looks at the edges of a page; `may(at, byte)` says whether the byte at offset `at` could
    /// be `byte`.
    #[must_use]
    pub fn of(may: impl Fn(usize, u8) -> bool) -> Self {
        let mut bits = 0;
        for split in 1..LENGTH {
            let (first, second) = WRPKRS.split_at(split);
            let tail = first
                .iter()
                .enumerate()
                .all(|(i, &b)| may(BYTES - split + i, b));
            let head = second.iter().enumerate().all(|(i, &b)| may(i, b));
            bits |= u8::from(tail) << (split - 1);
            bits |= u8::from(head) << (SPLITS + split - 1);
        }
        Edges(bits)
    }

    fn has_tail(self, split: usize) -> bool {
        self.0 >> split & 1 != 0
    }

    fn has_head(self, split: usize) -> bool {
        self.0 >> (SPLITS + split) & 1 != 0
    }
}

/// How many sealed frames have which edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeCounts {
    tails: [u32; SPLITS],
    heads: [u32; SPLITS],
}

impl EdgeCounts {
    /// The counts with one more frame.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gadget`] if some frame's end and some frame's start (of the same frame, too) could
    /// then spell the sequence.
    pub(crate) fn with(mut self, edges: Edges) -> Result<Self, Refusal> {
        for (split, (tails, heads)) in self.tails.iter_mut().zip(&mut self.heads).enumerate() {
            *tails += u32::from(edges.has_tail(split));
            *heads += u32::from(edges.has_head(split));
            if *tails != 0 && *heads != 0 {
                return Err(Refusal::Gadget);
            }
        }
        Ok(self)
    }

    /// The counts with one frame less, that was counted.
    ///
    /// # Errors
    ///
    /// [`Refusal::Monitor`] if it was not.
    pub(crate) fn without(mut self, edges: Edges) -> Result<Self, Refusal> {
        for (split, (tails, heads)) in self.tails.iter_mut().zip(&mut self.heads).enumerate() {
            let less = |count: u32, by: bool| count.checked_sub(u32::from(by));
            *tails = less(*tails, edges.has_tail(split)).ok_or(Refusal::Monitor)?;
            *heads = less(*heads, edges.has_head(split)).ok_or(Refusal::Monitor)?;
        }
        Ok(self)
    }
}

/// Whether a change of these bytes of a page can change its [`Edges`].
pub(crate) fn touches_edges(range: &Range<usize>) -> bool {
    range.start < LENGTH - 1 || range.end > BYTES - (LENGTH - 1)
}

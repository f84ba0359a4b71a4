// SPDX-License-Identifier: MIT OR Apache-2.0

//! Changes of guest kernel text (I6).
//!
//! A guest's boot makes tens of thousands of them (alternatives, calls of pv_ops, static keys), nearly
//! all of a few bytes that have nothing of WRPKRS: whole words are looked at first.

use core::ops::Range;

use cki_abi::limits::{FRAME_SIZE, POKE_MAX};

use crate::edges::{Edges, touches_edges};
use crate::frame::{Class, Frame, Word};
use crate::memory::{PhysMem, Scratch, WORDS};
use crate::monitor::Monitor;
use crate::refusal::Refusal;
use crate::scan::{byte_of, may_end_in, may_spell};

/// Bytes of a word.
const BYTES: usize = 8;

/// What a poke puts into a frame.
struct Change<'c> {
    /// The words that hold the bytes.
    source: &'c [u64],
    /// Where in the first of them the first byte is, 0 to 7.
    skew: usize,
    /// Which bytes of the frame change.
    range: Range<usize>,
}

impl Change<'_> {
    /// The frame's words in which bytes change.
    fn indices(&self) -> Range<usize> {
        self.range.start / BYTES..self.range.end.div_ceil(BYTES)
    }

    /// Word `index` of the frame, `old` before the change, as it is after it.
    fn applied(&self, index: usize, old: u64) -> u64 {
        let mask = below(self.range.end, index) & !below(self.range.start, index);
        if mask == 0 {
            return old;
        }
        // It overlaps two of the source's words. The first may lie before the source, and be number
        // -1: hence one word more, which is taken off again.
        let at = (index + 1) * BYTES + self.skew - self.range.start;
        let word = |index: usize| u128::from(self.source.get(index).copied().unwrap_or(0));
        let pair = word((at / BYTES).wrapping_sub(1)) | word(at / BYTES) << 64;
        let new = (pair >> (at % BYTES * 8)) as u64;
        old & !mask | new & mask
    }
}

/// A mask of the bytes of word `index` that lie before byte `end` of the frame.
fn below(end: usize, index: usize) -> u64 {
    match end.saturating_sub(index * BYTES) {
        count @ 0..BYTES => (1 << (count * 8)) - 1,
        _ => u64::MAX,
    }
}

impl<M: PhysMem> Monitor<'_, M> {
    /// Copies `length` bytes from container memory into an Exec frame.
    ///
    /// While the bytes change, another vCPU may fetch each as it was or as it will be, so in a
    /// sealed frame every position counts as holding both.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] for an empty range or one that leaves its frame, [`Refusal::Range`],
    /// [`Refusal::Class`] unless the target is Exec, [`Refusal::Gadget`].
    pub fn poke(
        &mut self,
        target_hpa: u64,
        source_hpa: u64,
        length: u64,
        scratch: &mut Scratch,
    ) -> Result<(), Refusal> {
        let in_frame = |hpa: u64| FRAME_SIZE - hpa % FRAME_SIZE >= length;
        if length == 0 || length > POKE_MAX || !in_frame(target_hpa) || !in_frame(source_hpa) {
            return Err(Refusal::Argument);
        }
        let target = self.segments.find(target_hpa).ok_or(Refusal::Range)?;
        let source = self.segments.find(source_hpa).ok_or(Refusal::Range)?;
        let word = self.frames.word(target)?;
        if word.class() != Some(Class::Exec) {
            return Err(Refusal::Class);
        }
        let length = length as usize;
        let start = (target_hpa % FRAME_SIZE) as usize;
        let source_start = (source_hpa % FRAME_SIZE) as usize;
        let first = source_start / BYTES;
        let count = (source_start + length).div_ceil(BYTES) - first;
        let change = Change {
            source: scratch.copy(&self.memory, source, first, count)?,
            skew: source_start % BYTES,
            range: start..start + length,
        };
        if let Some(edges) = word.edges() {
            self.check_poke(target, word, edges, &change)?;
        }
        for index in change.indices() {
            let old = self.memory.load(target, index);
            self.memory.store(target, index, change.applied(index, old));
        }
        Ok(())
    }

    /// Judges a change of a sealed frame and does its bookkeeping; the bytes are not written yet.
    fn check_poke(
        &mut self,
        target: Frame,
        word: Word,
        edges: Edges,
        change: &Change<'_>,
    ) -> Result<(), Refusal> {
        let range = &change.range;
        let old = |index| self.memory.load(target, index);
        let new = |index| change.applied(index, old(index));
        let during = |at, byte| byte_of(old, at) == byte || byte_of(new, at) == byte;
        let after = |at, byte| byte_of(new, at) == byte;
        // A sequence with a changed byte ends in the range or up to three bytes behind it.
        let last = (range.end + 3).div_ceil(BYTES).min(WORDS);
        let words = range.start / BYTES..last;
        let possible = words
            .clone()
            .any(|index| may_end_in(old(index)) || may_end_in(new(index)));
        if possible && may_spell(words, old, new) {
            return Err(Refusal::Gadget);
        }
        if !touches_edges(range) {
            return Ok(());
        }
        let others = self.edges.without(edges)?;
        others.with(Edges::of(during))?;
        let edges = Edges::of(after);
        let counts = others.with(edges)?;
        self.frames.transition(target, word, Word::sealed(edges))?;
        self.edges = counts;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte by byte, as the words are not.
    fn expected(change: &Change<'_>, index: usize, old: u64) -> u64 {
        let mut bytes = old.to_le_bytes();
        for (offset, byte) in bytes.iter_mut().enumerate() {
            let at = index * BYTES + offset;
            if change.range.contains(&at) {
                let from = at - change.range.start + change.skew;
                *byte = change.source[from / BYTES].to_le_bytes()[from % BYTES];
            }
        }
        u64::from_le_bytes(bytes)
    }

    #[test]
    fn a_change_has_the_same_bytes_word_by_word_and_byte_by_byte() {
        let source: [u64; 6] = core::array::from_fn(|i| {
            u64::from_le_bytes(core::array::from_fn(|j| (i * 8 + j) as u8))
        });
        for start in [0, 1, 5, 7, 8, 12, 4064, 4071] {
            for skew in 0..BYTES {
                for length in 1..=25 {
                    let change = Change {
                        source: &source[..(skew + length).div_ceil(BYTES)],
                        skew,
                        range: start..start + length,
                    };
                    let first = change.indices().start.saturating_sub(2);
                    for index in first..(change.indices().end + 2).min(WORDS) {
                        let old = 0xa1a2_a3a4_a5a6_a7a8;
                        assert_eq!(
                            change.applied(index, old),
                            expected(&change, index, old),
                            "word {index} of {start}+{length}, skew {skew}"
                        );
                    }
                }
            }
        }
    }
}

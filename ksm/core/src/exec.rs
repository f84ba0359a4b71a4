//! Guest kernel text: sealing and poking (I6).

use cki_abi::limits::{FRAME_SIZE, POKE_MAX, SEAL_MAX};

use crate::frame::{Class, Frame, Word};
use crate::memory::{PhysMem, Scratch};
use crate::monitor::Monitor;
use crate::refusal::Refusal;
use crate::scan::{Edges, page_contains, range_may_spell};

/// Byte `at` of words.
fn byte_of(words: impl Fn(usize) -> u64, at: usize) -> u8 {
    (words(at / 8) >> (at % 8 * 8)) as u8
}

impl<M: PhysMem> Monitor<'_, M> {
    /// Scans and seals `count` Exec frames from `hpa` on. Only sealed frames may be mapped executable
    /// for CPL 0. Returns how many are sealed now, and why not more.
    ///
    /// A frame stays sealed for good: it is Exec, so nothing but [`Monitor::poke`] changes it.
    pub fn seal(&mut self, hpa: u64, count: u64) -> (u64, Result<(), Refusal>) {
        let size = match count {
            1..=SEAL_MAX if hpa % FRAME_SIZE == 0 => count * FRAME_SIZE,
            _ => return (0, Err(Refusal::Argument)),
        };
        let Some(first) = self.segments.find_span(hpa, size) else {
            return (0, Err(Refusal::Range));
        };
        for done in 0..count {
            if let Err(refusal) = self.seal_frame(first.plus(done as u32)) {
                return (done, Err(refusal));
            }
        }
        (count, Ok(()))
    }

    fn seal_frame(&mut self, frame: Frame) -> Result<(), Refusal> {
        let word = self.frames.word(frame)?;
        if word.class() != Some(Class::Exec) {
            return Err(Refusal::Class);
        }
        if word.edges().is_some() {
            return Ok(());
        }
        let load = |index| self.memory.load(frame, index);
        if page_contains(load) {
            return Err(Refusal::Gadget);
        }
        let edges = Edges::of(|at, byte| byte_of(load, at) == byte);
        let counts = self.edges.with(edges)?;
        self.frames.transition(frame, word, Word::sealed(edges))?;
        self.chunks.count_sealed(frame)?;
        self.edges = counts;
        Ok(())
    }

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
        let first = source_start / 8;
        let count = (source_start + length).div_ceil(8) - first;
        let copy = scratch.copy(&self.memory, source, first, count)?;
        let range = start..start + length;
        let new = |at: usize| {
            byte_of(
                |index| copy.get(index).copied().unwrap_or(0),
                at - start + source_start % 8,
            )
        };
        if let Some(edges) = word.edges() {
            self.check_poke(target, word, edges, range.clone(), new)?;
        }
        for index in range.start / 8..range.end.div_ceil(8) {
            let mut bytes = self.memory.load(target, index).to_le_bytes();
            for (offset, byte) in bytes.iter_mut().enumerate() {
                let at = index * 8 + offset;
                if range.contains(&at) {
                    *byte = new(at);
                }
            }
            self.memory.store(target, index, u64::from_le_bytes(bytes));
        }
        Ok(())
    }

    /// Judges a change of a sealed frame and does its bookkeeping; the bytes are not written yet.
    fn check_poke(
        &mut self,
        target: Frame,
        word: Word,
        edges: Edges,
        range: core::ops::Range<usize>,
        new: impl Fn(usize) -> u8,
    ) -> Result<(), Refusal> {
        let old = |at| byte_of(|index| self.memory.load(target, index), at);
        let during = |at, byte| old(at) == byte || range.contains(&at) && new(at) == byte;
        let after = |at, byte| {
            if range.contains(&at) {
                new(at) == byte
            } else {
                old(at) == byte
            }
        };
        if range_may_spell(range.start.saturating_sub(3), range.end, during) {
            return Err(Refusal::Gadget);
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

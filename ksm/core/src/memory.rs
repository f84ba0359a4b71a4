// SPDX-License-Identifier: MIT OR Apache-2.0

//! The container's memory as the monitor reaches it: by frame, never by a guest's address.

use cki_abi::limits::{FRAME_SIZE, POKE_MAX};

use crate::frame::Frame;
use crate::refusal::Refusal;

/// Words of eight bytes in a frame.
pub const WORDS: usize = FRAME_SIZE as usize / 8;

/// Memory of the container, one aligned word at a time.
///
/// `frame` comes from [`crate::segment::Segments`] and `index` is below [`WORDS`]; the shell adds
/// them to the base of its direct map. Every access is a single atomic one: the CPU's page walker
/// and (for Data frames) the guest access the same words at the same time.
pub trait PhysMem {
    /// Reads a word.
    fn load(&self, frame: Frame, index: usize) -> u64;
    /// Writes a word.
    fn store(&self, frame: Frame, index: usize, value: u64);
    /// Writes a word and returns the old one.
    fn swap(&self, frame: Frame, index: usize, value: u64) -> u64;
    /// Writes a word if it holds `expected`. The old one, as `Ok` if it was written.
    ///
    /// # Errors
    ///
    /// The word's value, if it was not `expected`.
    fn compare_exchange(
        &self,
        frame: Frame,
        index: usize,
        expected: u64,
        value: u64,
    ) -> Result<u64, u64>;
    /// Clears the bits of a word that `mask` lacks, and returns the old one.
    fn fetch_and(&self, frame: Frame, index: usize, mask: u64) -> u64;

    /// Clears a frame.
    fn clear(&self, frame: Frame) {
        for index in 0..WORDS {
            self.store(frame, index, 0);
        }
    }
}

impl<M: PhysMem> PhysMem for &M {
    fn load(&self, frame: Frame, index: usize) -> u64 {
        (**self).load(frame, index)
    }
    fn store(&self, frame: Frame, index: usize, value: u64) {
        (**self).store(frame, index, value);
    }
    fn swap(&self, frame: Frame, index: usize, value: u64) -> u64 {
        (**self).swap(frame, index, value)
    }
    fn compare_exchange(
        &self,
        frame: Frame,
        index: usize,
        expected: u64,
        value: u64,
    ) -> Result<u64, u64> {
        (**self).compare_exchange(frame, index, expected, value)
    }
    fn fetch_and(&self, frame: Frame, index: usize, mask: u64) -> u64 {
        (**self).fetch_and(frame, index, mask)
    }
    fn clear(&self, frame: Frame) {
        (**self).clear(frame);
    }
}

/// Where a vCPU's batches and pokes are copied to before they are looked at: what the guest
/// changes afterwards changes nothing (no time of check to time of use).
#[derive(Debug)]
pub struct Scratch([u64; WORDS]);

const _: () = assert!(POKE_MAX <= FRAME_SIZE);

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

impl Scratch {
    /// An empty one, 4 KiB.
    #[must_use]
    pub const fn new() -> Self {
        Scratch([0; WORDS])
    }

    /// Copies `count` words from word `index` of a frame on, each read once.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] if they do not all lie in the frame.
    pub(crate) fn copy<M: PhysMem>(
        &mut self,
        memory: &M,
        frame: Frame,
        index: usize,
        count: usize,
    ) -> Result<&[u64], Refusal> {
        if count > WORDS || index > WORDS - count {
            return Err(Refusal::Argument);
        }
        let words = &mut self.0[..count];
        for (at, word) in words.iter_mut().enumerate() {
            *word = memory.load(frame, index + at);
        }
        Ok(words)
    }
}

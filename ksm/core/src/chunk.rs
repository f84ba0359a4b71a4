// SPDX-License-Identifier: MIT OR Apache-2.0

//! What 512 consecutive frames have in common, so that a superpage is judged without 512 looks.
//!
//! A chunk's word: bits 2:0 the class of all its frames (0: mixed), bits 31:16 how many of them are
//! sealed. Segments are made of whole chunks, so a chunk lies in one segment.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::edges::Edges;
use crate::frame::{CLASS_MASK, Class, Frame, Word};
use crate::refusal::Refusal;

const SEALED_SHIFT: u32 = 16;
/// log2 of a chunk's frames.
pub(crate) const FRAMES_SHIFT: u32 = 9;

/// The words of all chunks.
#[derive(Clone, Copy, Debug)]
pub struct Chunks<'a>(&'a [AtomicU64]);

impl<'a> Chunks<'a> {
    /// One word for each 512 frames.
    pub(crate) const fn new(words: &'a [AtomicU64]) -> Self {
        Chunks(words)
    }

    fn word(&self, frame: Frame) -> Result<&AtomicU64, Refusal> {
        self.0
            .get(frame.index() >> FRAMES_SHIFT)
            .ok_or(Refusal::Monitor)
    }

    /// Sets up the chunk that begins at `frame`; `None` means mixed.
    pub(crate) fn reset(&self, frame: Frame, class: Option<Class>) -> Result<(), Refusal> {
        self.word(frame)?
            .store(class.map_or(0, Class::to_abi), Ordering::Release);
        Ok(())
    }

    /// Counts one more sealed frame in the chunk that `frame` lies in; it is called once for each frame.
    ///
    /// # Errors
    ///
    /// [`Refusal::Monitor`] as for [`Chunks::common`].
    pub(crate) fn count_sealed(&self, frame: Frame) -> Result<(), Refusal> {
        self.word(frame)?
            .fetch_add(1 << SEALED_SHIFT, Ordering::AcqRel);
        Ok(())
    }

    /// What holds for all frames of the chunk that `frame` lies in, as the word of one frame: their
    /// class, and whether they are sealed (without edges). `None` if they are of several classes (I2,
    /// XSA-148).
    ///
    /// # Errors
    ///
    /// [`Refusal::Monitor`] if the storage is too short, which [`crate::Setup::new`] excludes.
    pub fn common(&self, frame: Frame) -> Result<Option<Word>, Refusal> {
        let word = self.word(frame)?.load(Ordering::Acquire);
        let sealed = word >> SEALED_SHIFT == 1 << FRAMES_SHIFT;
        Ok(Class::from_abi(word & CLASS_MASK).map(|class| match class {
            Class::Exec if sealed => Word::sealed(Edges::default()),
            class => Word::fresh(class),
        }))
    }
}

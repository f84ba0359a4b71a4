// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guest kernel text: sealing (I6).

use cki_abi::limits::{FRAME_SIZE, SEAL_MAX};

use crate::edges::Edges;
use crate::frame::{Class, Frame, Word};
use crate::memory::PhysMem;
use crate::monitor::Monitor;
use crate::refusal::Refusal;
use crate::scan::{Effort, Found, byte_of, search_page};

impl<M: PhysMem> Monitor<'_, M> {
    /// Scans and seals `count` Exec frames from `hpa` on. Only sealed frames may be mapped executable
    /// for CPL 0. Returns how many are sealed now, and what refused the next; `Ok` with fewer than
    /// `count`, at least one, when they were enough for one call.
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
        let mut effort = Effort::of_a_call();
        for done in 0..count {
            match self.seal_frame(first.plus(done as u32), &mut effort) {
                Ok(true) => {}
                Ok(false) => return (done, Ok(())),
                Err(refusal) => return (done, Err(refusal)),
            }
        }
        (count, Ok(()))
    }

    /// `false` if there was not enough effort left to look at all of the frame.
    fn seal_frame(&mut self, frame: Frame, effort: &mut Effort) -> Result<bool, Refusal> {
        let word = self.frames.word(frame)?;
        if word.class() != Some(Class::Exec) {
            return Err(Refusal::Class);
        }
        if word.edges().is_some() {
            return Ok(true);
        }
        let load = |index| self.memory.load(frame, index);
        match search_page(load, effort) {
            Found::Nothing => {}
            Found::Sequence => return Err(Refusal::Gadget),
            Found::NotEnoughEffort => return Ok(false),
        }
        let edges = Edges::of(|at, byte| byte_of(load, at) == byte);
        let counts = self.edges.with(edges)?;
        self.frames.transition(frame, word, Word::sealed(edges))?;
        self.chunks.count_sealed(frame)?;
        self.edges = counts;
        Ok(true)
    }
}

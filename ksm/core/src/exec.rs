//! Guest kernel text: sealing (I6).

use cki_abi::limits::{FRAME_SIZE, SEAL_MAX};

use crate::frame::{Class, Frame, Word};
use crate::memory::PhysMem;
use crate::monitor::Monitor;
use crate::refusal::Refusal;
use crate::scan::{Edges, byte_of, page_contains};

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
}

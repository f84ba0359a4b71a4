//! Frames become page tables, and cease to be (I4).

use cki_abi::limits::{FRAME_SIZE, RELEASE_LINKS_MAX};

use crate::entry::{ADDRESS, is_link};
use crate::frame::{Class, Frame, Kind, Word};
use crate::memory::{PhysMem, WORDS};
use crate::monitor::Monitor;
use crate::refusal::Refusal;
use crate::rules::Meaning;
use crate::update::SLOT;

/// Where the entries of a new table come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// All are cleared.
    Clear,
    /// They stay, each judged like an update: 512 at once, which no guest may ask for (I9).
    Keep,
}

impl<M: PhysMem> Monitor<'_, M> {
    /// Makes the Pt frame at `table_hpa` a table.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`], [`Refusal::Range`] or [`Refusal::Class`] for the frame,
    /// [`Refusal::Type`] if it is a table already, [`Refusal::Stale`] if it was one of another kind
    /// and not every vCPU has flushed since, and whatever a kept entry breaks.
    pub fn declare(
        &mut self,
        table_hpa: u64,
        kind: Kind,
        contents: Contents,
    ) -> Result<(), Refusal> {
        let (frame, word) = self.table_frame(table_hpa)?;
        if word.class() != Some(Class::Pt) {
            return Err(Refusal::Class);
        }
        if word.kind().is_some() {
            return Err(Refusal::Type);
        }
        if let Some((former, released)) = word.former() {
            // The same kind again needs no flush: whatever is cached leads to a table whose every
            // entry, old or new, was judged for this level and half.
            if former != kind && !self.epochs.all_flushed_since(released) {
                return Err(Refusal::Stale);
            }
        }
        let links = match contents {
            Contents::Clear => {
                self.memory.clear(frame);
                0
            }
            Contents::Keep => self.adopt(frame, kind)?,
        };
        if kind == Kind::ROOT {
            // I5: before anything can refer to it.
            self.memory.store(frame, SLOT, self.slot_entry);
        }
        self.frames
            .transition(frame, word, Word::table(kind, links))
    }

    /// Judges and counts all entries of a frame that is to become a table. Nobody but the monitor
    /// writes a Pt frame, and the walker sets no bits of a table that nothing refers to, so what is
    /// judged is what stays.
    fn adopt(&mut self, frame: Frame, kind: Kind) -> Result<u32, Refusal> {
        let mut links = 0;
        for index in 0..WORDS {
            if kind == Kind::ROOT && index == SLOT {
                continue;
            }
            let outcome = match self.judge(kind, index, self.memory.load(frame, index)) {
                Ok(Meaning::Link(table)) => {
                    links += 1;
                    self.reference(table).inspect_err(|_| links -= 1)
                }
                Ok(Meaning::Nothing | Meaning::Leaf) => Ok(()),
                Err(refusal) => Err(refusal),
            };
            if let Err(refusal) = outcome {
                self.drop_links(frame, kind, links)?;
                return Err(refusal);
            }
        }
        Ok(links)
    }

    /// Ends a frame's life as a table.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] or [`Refusal::Range`] for the frame, [`Refusal::Type`] if it is no
    /// table, [`Refusal::Busy`] while an entry or a vCPU refers to it, or more than
    /// `RELEASE_LINKS_MAX` of its entries refer to tables (I9).
    pub fn release(&mut self, table_hpa: u64) -> Result<(), Refusal> {
        let (frame, word) = self.table_frame(table_hpa)?;
        let kind = word.kind().ok_or(Refusal::Type)?;
        if word.references() != 0 || word.links() > RELEASE_LINKS_MAX {
            return Err(Refusal::Busy);
        }
        self.drop_links(frame, kind, word.links() as u32)?;
        self.frames
            .transition(frame, word, Word::released(kind, self.epochs.now()))
    }

    /// Gives up the first `count` links of a table. Its entries stay: stale walks of it go on, into
    /// tables whose own release is still to come and will be stamped no earlier than now.
    fn drop_links(&mut self, frame: Frame, kind: Kind, count: u32) -> Result<(), Refusal> {
        let mut left = count;
        for index in 0..WORDS {
            if left == 0 {
                return Ok(());
            }
            let value = self.memory.load(frame, index);
            if is_link(kind.level(), value) && !(kind == Kind::ROOT && index == SLOT) {
                let table = self
                    .segments
                    .find(value & ADDRESS)
                    .ok_or(Refusal::Monitor)?;
                self.dereference(table)?;
                left -= 1;
            }
        }
        if left == 0 {
            Ok(())
        } else {
            Err(Refusal::Monitor)
        }
    }

    fn table_frame(&self, table_hpa: u64) -> Result<(Frame, Word), Refusal> {
        if table_hpa % FRAME_SIZE != 0 {
            return Err(Refusal::Argument);
        }
        let frame = self.segments.find(table_hpa).ok_or(Refusal::Range)?;
        Ok((frame, self.frames.word(frame)?))
    }
}

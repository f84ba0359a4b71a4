// SPDX-License-Identifier: MIT OR Apache-2.0

//! Frames become page tables, and cease to be (I4).

use cki_abi::limits::{FRAME_SIZE, RELEASE_LINKS_MAX};

use crate::adoption::Adoption;
use crate::entry::{ADDRESS, is_link};
use crate::frame::{Class, Frame, Kind, Word};
use crate::memory::{PhysMem, WORDS};
use crate::monitor::Monitor;
use crate::refusal::Refusal;
use crate::rules::Meaning;
use crate::update::SLOT;

/// What a step of an adoption may take, in units of some 10 instructions (I9), and what an entry takes: an
/// empty one, one that maps memory, one that is a link.
const EFFORT: u32 = 1500;
const ENTRY_EFFORT: u32 = 5;
const LEAF_EFFORT: u32 = 12;
const LINK_EFFORT: u32 = 16;

impl<M: PhysMem> Monitor<'_, M> {
    /// Makes the Pt frame at `table_hpa` a table, whose entries are cleared. To keep them is for the host
    /// at the start ([`Monitor::adopt`]): 512 judgements are more than a guest may ask for at once (I9).
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`], [`Refusal::Range`] or [`Refusal::Class`] for the frame,
    /// [`Refusal::Type`] if it is a table already, [`Refusal::Stale`] if it was one of another kind
    /// and not every vCPU has flushed since. [`Refusal::State`] for a frame that is being adopted.
    pub fn declare(&mut self, table_hpa: u64, kind: Kind) -> Result<(), Refusal> {
        let (frame, word) = self.undeclared(table_hpa, kind)?;
        if self
            .adoption
            .is_some_and(|adoption| adoption.frame == frame)
        {
            return Err(Refusal::State);
        }
        self.memory.clear(frame);
        self.complete(frame, word, kind, 0)
    }

    /// A frame that may become a table of this kind.
    fn undeclared(&self, table_hpa: u64, kind: Kind) -> Result<(Frame, Word), Refusal> {
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
        Ok((frame, word))
    }

    fn complete(
        &mut self,
        frame: Frame,
        word: Word,
        kind: Kind,
        links: u32,
    ) -> Result<(), Refusal> {
        if kind == Kind::ROOT {
            // I5: before anything can refer to it.
            self.memory.store(frame, SLOT, self.slot_entry);
        }
        self.frames
            .transition(frame, word, Word::table(kind, links))
    }

    /// Makes a Pt frame a table with the contents that it has, or a step of that: some of its entries are
    /// judged and counted. How many entries are left for further calls; 0 when it is a table.
    ///
    /// Nobody but the monitor writes a Pt frame, no call of a guest's makes a table of one that is being
    /// adopted, and the walker sets no bits of a table that nothing refers to: what is judged stays
    /// as it is from the first call to the last.
    ///
    /// # Errors
    ///
    /// As [`Monitor::declare`], and whatever an entry breaks, which is told when the links that were counted
    /// before are given up again. [`Refusal::State`] while another frame, or this one as another kind, is being
    /// adopted.
    pub fn adopt(&mut self, table_hpa: u64, kind: Kind) -> Result<u64, Refusal> {
        let (frame, word) = self.undeclared(table_hpa, kind)?;
        let mut adoption = self.adoption.unwrap_or(Adoption::new(frame, kind));
        if (adoption.frame, adoption.kind) != (frame, kind) {
            return Err(Refusal::State);
        }
        let outcome = self.adopt_some(&mut adoption, word);
        self.adoption = match outcome {
            Ok(1..) => Some(adoption),
            _ => None,
        };
        outcome
    }

    fn adopt_some(&mut self, adoption: &mut Adoption, word: Word) -> Result<u64, Refusal> {
        let (frame, kind) = (adoption.frame, adoption.kind);
        let mut effort = EFFORT;
        if adoption.refusal.is_none() {
            adoption.refusal = self.count_links(adoption, &mut effort).err();
        }
        let Some(refusal) = adoption.refusal else {
            let left = WORDS - adoption.next;
            if left == 0 {
                self.complete(frame, word, kind, adoption.links)?;
            }
            return Ok(left as u64);
        };
        // Backwards: what is in front of `next` is counted, and nothing else.
        while adoption.links != 0 {
            if effort < LINK_EFFORT {
                return Ok(adoption.links.into());
            }
            adoption.next = adoption.next.checked_sub(1).ok_or(Refusal::Monitor)?;
            if let Some(link) = self.link_at(frame, kind, adoption.next) {
                self.give_up(link)?;
                adoption.links -= 1;
                effort -= LINK_EFFORT;
            } else {
                effort -= ENTRY_EFFORT;
            }
        }
        Err(refusal)
    }

    /// Judges entries and counts their links, until the effort is spent.
    fn count_links(&mut self, adoption: &mut Adoption, effort: &mut u32) -> Result<(), Refusal> {
        while adoption.next < WORDS && *effort >= LINK_EFFORT {
            let index = adoption.next;
            let kind = adoption.kind;
            *effort -= if kind == Kind::ROOT && index == SLOT {
                ENTRY_EFFORT
            } else {
                match self.judge(kind, index, self.memory.load(adoption.frame, index))? {
                    Meaning::Nothing => ENTRY_EFFORT,
                    Meaning::Leaf => LEAF_EFFORT,
                    Meaning::Link(table) => {
                        self.reference(table)?;
                        adoption.links += 1;
                        LINK_EFFORT
                    }
                }
            };
            adoption.next += 1;
        }
        Ok(())
    }

    /// The entry, if it is counted as a link of a table, or of a frame that is being adopted.
    #[inline(always)]
    fn link_at(&self, frame: Frame, kind: Kind, index: usize) -> Option<u64> {
        let value = self.memory.load(frame, index);
        let counted = is_link(kind.level(), value) && !(kind == Kind::ROOT && index == SLOT);
        counted.then_some(value)
    }

    fn give_up(&mut self, link: u64) -> Result<(), Refusal> {
        let table = self.segments.find(link & ADDRESS).ok_or(Refusal::Monitor)?;
        self.dereference(table)
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

    /// Gives up the `count` links of a table. Its entries stay: stale walks of it go on, into
    /// tables whose own release is still to come and will be stamped no earlier than now.
    fn drop_links(&mut self, frame: Frame, kind: Kind, count: u32) -> Result<(), Refusal> {
        let mut left = count;
        for index in 0..WORDS {
            if left == 0 {
                return Ok(());
            }
            if let Some(link) = self.link_at(frame, kind, index) {
                self.give_up(link)?;
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

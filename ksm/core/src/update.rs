// SPDX-License-Identifier: MIT OR Apache-2.0

//! Changes of table entries (I4, I5).
//!
//! Order matters. A new link is counted before it is written, an old one is given up after it is
//! overwritten, and what is given up is what the atomic exchange returned, not what was read
//! before (XSA-213, XSA-214: counts that follow what somebody believed to be there).

use cki_abi::calls::BatchEntry;
use cki_abi::calls::arguments::ENTRY_CLEARABLE;
use cki_abi::layout::SLOT_MONITOR;
use cki_abi::limits::{BATCH_MAX, FRAME_SIZE};

use crate::entry::{ADDRESS, PRESENT, is_link};
use crate::frame::{Class, Frame, Kind};
use crate::memory::{PhysMem, Scratch, WORDS};
use crate::monitor::Monitor;
use crate::refusal::Refusal;
use crate::rules::Meaning;

const _: () = assert!(size_of::<BatchEntry>() == 16);

/// An entry of a declared table.
#[derive(Clone, Copy, Debug)]
struct Place {
    table: Frame,
    index: usize,
    kind: Kind,
}

/// The slot of an L4 that is the monitor's.
pub(crate) const SLOT: usize = SLOT_MONITOR as usize;

impl<M: PhysMem> Monitor<'_, M> {
    /// Stores `value` in the entry at host-physical address `entry_hpa`.
    ///
    /// # Errors
    ///
    /// The rule that the call or the value breaks; nothing is stored then.
    #[inline]
    pub fn set_entry(&mut self, entry_hpa: u64, value: u64) -> Result<(), Refusal> {
        let place = self.place(entry_hpa)?;
        if place.kind.level() == 1 {
            // Leaves are not counted: nothing to give up, so no need to know what was there.
            if value & PRESENT != 0 {
                self.judge_page(place.kind.is_user(), value)?;
            }
            self.memory.store(place.table, place.index, value);
            return Ok(());
        }
        self.replace(place, value).map(|_| ())
    }

    /// As [`Monitor::set_entry`]; returns the old value, with the A and D bits of the last moment.
    ///
    /// # Errors
    ///
    /// As [`Monitor::set_entry`].
    pub fn exchange_entry(&mut self, entry_hpa: u64, value: u64) -> Result<u64, Refusal> {
        let place = self.place(entry_hpa)?;
        self.replace(place, value)
    }

    /// As [`Monitor::exchange_entry`], if the entry holds `expected`. `Ok` is the old value if it was
    /// written, `Err((Changed, value))` the value that differed.
    ///
    /// # Errors
    ///
    /// As [`Monitor::set_entry`] (with value 0), and [`Refusal::Changed`].
    pub fn compare_exchange_entry(
        &mut self,
        entry_hpa: u64,
        expected: u64,
        value: u64,
    ) -> Result<u64, (Refusal, u64)> {
        self.compare_exchange_at(entry_hpa, expected, value)
            .map_err(|refusal| (refusal, 0))?
    }

    fn compare_exchange_at(
        &mut self,
        entry_hpa: u64,
        expected: u64,
        value: u64,
    ) -> Result<Result<u64, (Refusal, u64)>, Refusal> {
        let place = self.place(entry_hpa)?;
        let gained = self.gain(place, value)?;
        match self
            .memory
            .compare_exchange(place.table, place.index, expected, value)
        {
            Ok(old) => {
                self.lose(place, old, gained.is_some())?;
                Ok(Ok(old))
            }
            Err(other) => {
                if let Some(table) = gained {
                    self.dereference(table)?;
                }
                Ok(Err((Refusal::Changed, other)))
            }
        }
    }

    /// Clears bits of an entry and returns the old value. All clearable bits take rights away or
    /// mean nothing to the CPU, whatever the entry is, so the rest of it need not be judged.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] for a mask with other bits, and those of naming an entry.
    pub fn clear_entry_bits(&mut self, entry_hpa: u64, mask: u64) -> Result<u64, Refusal> {
        if mask & !ENTRY_CLEARABLE != 0 {
            return Err(Refusal::Argument);
        }
        let place = self.place(entry_hpa)?;
        Ok(self.memory.fetch_and(place.table, place.index, !mask))
    }

    /// Carries out `count` updates from a list in guest memory, which is copied first. Returns how
    /// many were, and why not more.
    pub fn batch(
        &mut self,
        list_hpa: u64,
        count: u64,
        scratch: &mut Scratch,
    ) -> (u64, Result<(), Refusal>) {
        let words = match self.copy_batch(list_hpa, count, scratch) {
            Ok(words) => words,
            Err(refusal) => return (0, Err(refusal)),
        };
        let mut done = 0;
        for update in words.chunks_exact(2) {
            if let &[entry_hpa, value] = update {
                if let Err(refusal) = self.set_entry(entry_hpa, value) {
                    return (done, Err(refusal));
                }
                done += 1;
            }
        }
        (done, Ok(()))
    }

    fn copy_batch<'s>(
        &self,
        list_hpa: u64,
        count: u64,
        scratch: &'s mut Scratch,
    ) -> Result<&'s [u64], Refusal> {
        if list_hpa % 16 != 0 || count == 0 || count > BATCH_MAX {
            return Err(Refusal::Argument);
        }
        let frame = self.segments.find(list_hpa).ok_or(Refusal::Range)?;
        if self.frames.word(frame)?.class() != Some(Class::Data) {
            return Err(Refusal::Class);
        }
        let index = (list_hpa % FRAME_SIZE / 8) as usize;
        scratch.copy(&self.memory, frame, index, count as usize * 2)
    }

    /// The entry at an address that the guest claims to be one.
    #[inline(always)]
    fn place(&self, entry_hpa: u64) -> Result<Place, Refusal> {
        if entry_hpa % 8 != 0 {
            return Err(Refusal::Argument);
        }
        let table = self.segments.find(entry_hpa).ok_or(Refusal::Range)?;
        let kind = self.frames.word(table)?.kind().ok_or(Refusal::Type)?;
        let index = (entry_hpa / 8) as usize % WORDS;
        if kind == Kind::ROOT && index == SLOT {
            return Err(Refusal::Root);
        }
        Ok(Place { table, index, kind })
    }

    #[inline(never)]
    fn replace(&mut self, place: Place, value: u64) -> Result<u64, Refusal> {
        let gained = self.gain(place, value)?;
        let old = self.memory.swap(place.table, place.index, value);
        self.lose(place, old, gained.is_some())?;
        Ok(old)
    }

    /// Judges the value and counts the table that it will refer to.
    fn gain(&mut self, place: Place, value: u64) -> Result<Option<Frame>, Refusal> {
        match self.judge(place.kind, place.index, value)? {
            Meaning::Nothing | Meaning::Leaf => Ok(None),
            Meaning::Link(table) => {
                self.reference(table)?;
                Ok(Some(table))
            }
        }
    }

    /// Gives up what the overwritten value referred to, and counts the table's own links.
    fn lose(&mut self, place: Place, old: u64, gained: bool) -> Result<(), Refusal> {
        let lost = is_link(place.kind.level(), old);
        if gained != lost {
            let word = self.frames.word(place.table)?;
            self.frames
                .transition(place.table, word, word.with_links(gained, lost)?)?;
        }
        if lost {
            let table = self.segments.find(old & ADDRESS).ok_or(Refusal::Monitor)?;
            self.dereference(table)?;
        }
        Ok(())
    }

    /// Counts one more entry or vCPU that refers to `table`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Limit`] at 2^32 - 1 of them.
    pub(crate) fn reference(&mut self, table: Frame) -> Result<(), Refusal> {
        let word = self.frames.word(table)?;
        self.frames.transition(table, word, word.referenced()?)
    }

    /// Counts one less.
    ///
    /// # Errors
    ///
    /// [`Refusal::Monitor`] if nothing refers to it.
    pub(crate) fn dereference(&mut self, table: Frame) -> Result<(), Refusal> {
        let word = self.frames.word(table)?;
        self.frames.transition(table, word, word.dereferenced()?)
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a present entry of a table may say (I1, I2, I3).
//!
//! Every new value is judged as a whole, from nothing but itself and the kind of its table:
//! there is no shorter way for "only flags change" (XSA-182), because which flags matter
//! depends on all the others.

use cki_abi::limits::CHUNK_SIZE;

use crate::entry::{
    ADDRESS, CACHE_DISABLE, GLOBAL, KEY, NO_EXECUTE, PAGE_SIZE, PAT_L1, PAT_LARGE, PRESENT, USER,
    WRITABLE, WRITE_THROUGH, is_link,
};
use crate::frame::{Frame, Kind, Word};
use crate::memory::PhysMem;
use crate::monitor::Monitor;
use crate::refusal::Refusal;

/// Bits that no present entry of a guest's may have.
///
/// PWT and PCD (and PAT below) choose a memory type: an uncached alias of a page table would show
/// the walker other contents than the monitor (XSA-402). G survives the CR3 loads of a world
/// switch and matches every PCID, so the host would run on it.
const NEVER: u64 = WRITE_THROUGH | CACHE_DISABLE | GLOBAL;

/// What an accepted value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// P = 0.
    Nothing,
    /// Maps memory.
    Leaf,
    /// Refers to this table.
    Link(Frame),
}

impl<M: PhysMem> Monitor<'_, M> {
    /// Judges a value for entry `index` of a table of `kind`.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn judge(&self, kind: Kind, index: usize, value: u64) -> Result<Meaning, Refusal> {
        if value & PRESENT == 0 {
            return Ok(Meaning::Nothing);
        }
        let level = kind.level();
        if is_link(level, value) {
            let child = kind.child(index).ok_or(Refusal::Monitor)?;
            return self.judge_link(child, value).map(Meaning::Link);
        }
        if level == 1 {
            self.judge_page(kind.is_user(), value)?;
        } else {
            self.judge_superpage(kind.is_user(), value)?;
        }
        Ok(Meaning::Leaf)
    }

    /// I4, and the user bit of I3.
    fn judge_link(&self, child: Kind, value: u64) -> Result<Frame, Refusal> {
        // PS is reserved at level 4. At level 3 it would map 1 GiB, which took 512 looks to judge: that
        // is more than a call's share (I9), and 2 MiB pages serve as well. The CPU ignores bits 59 to 62
        // here: kept 0, so that a later meaning of theirs is not the guest's to choose.
        if value & (NEVER | PAGE_SIZE | KEY) != 0 {
            return Err(Refusal::Bits);
        }
        if child.is_user() && value & USER == 0 {
            return Err(Refusal::Execute);
        }
        let table = self.segments.find(value & ADDRESS).ok_or(Refusal::Range)?;
        if self.frames.word(table)?.kind() != Some(child) {
            return Err(Refusal::Type);
        }
        Ok(table)
    }

    /// I1, I2, I3 for a present entry of an L1.
    #[inline(always)]
    pub(crate) fn judge_page(&self, user: bool, value: u64) -> Result<(), Refusal> {
        judge_bits(user, NEVER | PAT_L1, value)?;
        match self.segments.find(value & ADDRESS) {
            Some(frame) => judge_rights(user, value, self.frames.word(frame)?),
            None => self.judge_shared(value),
        }
    }

    /// I1, I2, I3 for an entry that maps 2 MiB.
    fn judge_superpage(&self, user: bool, value: u64) -> Result<(), Refusal> {
        // The address bits below a superpage's size are reserved, but for PAT.
        let forbidden = NEVER | PAT_LARGE | (CHUNK_SIZE - 1) & ADDRESS;
        judge_bits(user, forbidden, value)?;
        // XSA-148: all frames of the superpage, not the first one only.
        let frame = self
            .segments
            .find_span(value & ADDRESS, CHUNK_SIZE)
            .ok_or(Refusal::Range)?;
        let word = self.chunks.common(frame)?.ok_or(Refusal::Class)?;
        judge_rights(user, value, word)
    }

    /// A frame outside of the segments: only the monitor's shared ones, to read.
    #[inline(never)]
    fn judge_shared(&self, value: u64) -> Result<(), Refusal> {
        if !self.shared.contains(value & ADDRESS) {
            return Err(Refusal::Range);
        }
        if value & WRITABLE != 0 {
            return Err(Refusal::Class);
        }
        if value & NO_EXECUTE == 0 {
            return Err(Refusal::Execute);
        }
        Ok(())
    }
}

/// What a leaf's own bits may be, whatever it maps.
#[inline(always)]
fn judge_bits(user: bool, forbidden: u64, value: u64) -> Result<(), Refusal> {
    if value & forbidden != 0 {
        return Err(Refusal::Bits);
    }
    if user {
        // Effective U is the AND over all levels. With U = 1 in every entry of every user table, SMEP
        // keeps CPL 0 from executing what these map, whatever upper levels say later.
        if value & USER == 0 {
            return Err(Refusal::Execute);
        }
    } else if value & KEY != 0 {
        // A kernel leaf may be a supervisor page, whose key is looked up in PKRS: keys are the
        // monitor's. (A user page's key is looked up in PKRU and is the guest's to choose.)
        return Err(Refusal::Key);
    }
    Ok(())
}

/// I2 and I3: what a leaf may allow with frames of which `word` holds.
#[inline(always)]
fn judge_rights(user: bool, value: u64, word: Word) -> Result<(), Refusal> {
    if value & WRITABLE != 0 && !word.is_data() {
        return Err(Refusal::Class);
    }
    // A kernel table's leaf counts as supervisor even with U = 1: an upper level can take U away
    // without this leaf being looked at again.
    if !user && value & NO_EXECUTE == 0 && !word.is_sealed() {
        return Err(Refusal::Execute);
    }
    Ok(())
}

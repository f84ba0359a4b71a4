// SPDX-License-Identifier: MIT OR Apache-2.0

//! Frames, their classes, and the word that the monitor keeps for each.
//!
//! `Frames::reset` stores a word once, before the monitor is ready (`Setup::step`). From then on it
//! changes only by `Frames::transition`, a compare-exchange from the value that was judged. Bits 2:0
//! are the class and never change; the rest depends on it:
//!
//! | class | bits |
//! |---|---|
//! | Pt, a table | 6:3 kind, 17:8 links that its entries hold, 63:32 references to it |
//! | Pt, no table | 6:3 zero, 11:8 kind that it last was (0: none), 63:16 flush epoch of its release |
//! | Exec | 3 sealed, 6:4 and 9:7 edges (see [`crate::edges::Edges`]) |
//! | Data, Ro | none |
//!
//! References and epoch share bits because a frame never needs both (I4): what is referred to is
//! not released.

use core::sync::atomic::{AtomicU64, Ordering};

use cki_abi::calls::arguments::{TABLE_L1, TABLE_L4, TABLE_USER};
use cki_abi::class::{CLASS_DATA, CLASS_EXEC, CLASS_PT, CLASS_RO};

use crate::edges::Edges;
use crate::refusal::Refusal;

/// A frame of the container: its dense number over all segments, not an address. Only
/// [`crate::segment::Segments`] makes them, so a `Frame` is in range (I1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(u32);

impl Frame {
    /// The frame of this dense number, which has to be in range.
    pub(crate) const fn new(number: u32) -> Self {
        Frame(number)
    }

    /// The dense number: index of the frame's word, and of its page in the direct map.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The frame `n` further on in the same segment; the caller knows that there is one.
    #[must_use]
    pub(crate) const fn plus(self, n: u32) -> Self {
        Frame(self.0 + n)
    }
}

/// What a frame may be used for; fixed while it is delegated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Guest memory.
    Data,
    /// Page tables.
    Pt,
    /// Kernel text.
    Exec,
    /// Constants.
    Ro,
}

impl Class {
    /// The class of an ABI number (`CLASS_*`).
    #[must_use]
    pub const fn from_abi(number: u64) -> Option<Self> {
        match number {
            CLASS_DATA => Some(Class::Data),
            CLASS_PT => Some(Class::Pt),
            CLASS_EXEC => Some(Class::Exec),
            CLASS_RO => Some(Class::Ro),
            _ => None,
        }
    }

    /// The ABI number.
    #[must_use]
    pub const fn to_abi(self) -> u64 {
        match self {
            Class::Data => CLASS_DATA,
            Class::Pt => CLASS_PT,
            Class::Exec => CLASS_EXEC,
            Class::Ro => CLASS_RO,
        }
    }
}

/// Level and half of a table. Entries of an L4 belong to the half of their slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(u8);

const KIND_USER: u8 = 1 << 3;

impl Kind {
    /// The root of an address space.
    pub const ROOT: Kind = Kind(4);

    /// A table of `level` (1 to 3) for user slots, or for kernel slots.
    #[must_use]
    pub const fn new(level: u8, user: bool) -> Option<Self> {
        match level {
            1..=3 if user => Some(Kind(level | KIND_USER)),
            1..=3 => Some(Kind(level)),
            4 if !user => Some(Kind::ROOT),
            _ => None,
        }
    }

    /// The kind that an argument of KSM_TABLE_DECLARE names.
    #[must_use]
    pub const fn from_abi(argument: u64) -> Option<Self> {
        let level = argument & !TABLE_USER;
        if level < TABLE_L1 || level > TABLE_L4 {
            return None;
        }
        Kind::new(level as u8, argument & TABLE_USER != 0)
    }

    /// 1 to 4.
    #[must_use]
    #[inline]
    pub const fn level(self) -> u8 {
        self.0 & 7
    }

    /// Whether it serves slots 0 to 255. False for a root, which serves both halves.
    #[must_use]
    #[inline]
    pub const fn is_user(self) -> bool {
        self.0 & KIND_USER != 0
    }

    /// The kind of table that entry `index` of this one may refer to; for level 1, nothing.
    #[must_use]
    pub const fn child(self, index: usize) -> Option<Kind> {
        match self.level() {
            4 => Kind::new(3, index < 256),
            level => Kind::new(level - 1, self.is_user()),
        }
    }
}

/// Where a frame's word has its class, and a chunk's that of all its frames.
pub(crate) const CLASS_MASK: u64 = 7;
const KIND_SHIFT: u32 = 3;
const KIND_MASK: u64 = 0xf << KIND_SHIFT;
const LINKS_SHIFT: u32 = 8;
const LINKS_MASK: u64 = 0x3ff << LINKS_SHIFT;
const REFERENCES_SHIFT: u32 = 32;
const REFERENCES_MAX: u64 = u32::MAX as u64;
const FORMER_SHIFT: u32 = 8;
const FORMER_MASK: u64 = 0xf << FORMER_SHIFT;
const EPOCH_SHIFT: u32 = 16;
const SEALED: u64 = 1 << 3;
const EDGES_SHIFT: u32 = 4;
const EDGES_MASK: u64 = 0x3f << EDGES_SHIFT;

/// Highest flush epoch that a word can hold.
pub const EPOCH_MAX: u64 = (1 << (64 - EPOCH_SHIFT)) - 1;

/// The value of a frame's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Word(u64);

impl Word {
    /// A frame as it is when delegated.
    #[must_use]
    pub const fn fresh(class: Class) -> Self {
        Word(class.to_abi())
    }

    /// A table with so many entries that refer to tables, 0 to 512; nothing refers to it.
    pub(crate) const fn table(kind: Kind, links: u32) -> Self {
        Word(CLASS_PT | (kind.0 as u64) << KIND_SHIFT | (links as u64) << LINKS_SHIFT)
    }

    /// A frame that was a table of this kind until the epoch.
    pub(crate) const fn released(kind: Kind, epoch: u64) -> Self {
        Word(CLASS_PT | (kind.0 as u64) << FORMER_SHIFT | epoch << EPOCH_SHIFT)
    }

    /// Kernel text that was looked at, with what its edges could complete.
    pub(crate) const fn sealed(edges: Edges) -> Self {
        Word(CLASS_EXEC | SEALED | (edges.bits() as u64) << EDGES_SHIFT)
    }

    /// The class; `None` is a word that was never set up.
    #[must_use]
    pub const fn class(self) -> Option<Class> {
        Class::from_abi(self.0 & CLASS_MASK)
    }

    /// Whether the guest may write the frame.
    #[must_use]
    #[inline]
    pub const fn is_data(self) -> bool {
        self.0 & CLASS_MASK == CLASS_DATA
    }

    /// Whether the frame may be executed at CPL 0.
    #[must_use]
    #[inline]
    pub const fn is_sealed(self) -> bool {
        self.0 & (CLASS_MASK | SEALED) == CLASS_EXEC | SEALED
    }

    /// The table that the frame is.
    #[must_use]
    #[inline]
    pub const fn kind(self) -> Option<Kind> {
        let kind = (self.0 & KIND_MASK) >> KIND_SHIFT;
        if self.0 & CLASS_MASK != CLASS_PT || kind == 0 {
            None
        } else {
            Some(Kind(kind as u8))
        }
    }

    /// For a Pt frame that is no table: what it was before, and the epoch of its release.
    #[must_use]
    pub const fn former(self) -> Option<(Kind, u64)> {
        let kind = (self.0 & FORMER_MASK) >> FORMER_SHIFT;
        if self.0 & (CLASS_MASK | KIND_MASK) != CLASS_PT || kind == 0 {
            None
        } else {
            Some((Kind(kind as u8), self.0 >> EPOCH_SHIFT))
        }
    }

    /// For a table: entries of other tables, and vCPUs, that refer to it.
    #[must_use]
    pub const fn references(self) -> u64 {
        self.0 >> REFERENCES_SHIFT
    }

    /// For a table: how many of its entries refer to tables, 0 to 512.
    #[must_use]
    pub const fn links(self) -> u64 {
        (self.0 & LINKS_MASK) >> LINKS_SHIFT
    }

    /// For an Exec frame: what is known of its edges once it is sealed.
    #[must_use]
    pub const fn edges(self) -> Option<Edges> {
        if self.is_sealed() {
            Some(Edges::from_bits(
                ((self.0 & EDGES_MASK) >> EDGES_SHIFT) as u8,
            ))
        } else {
            None
        }
    }

    /// The table with one reference more.
    ///
    /// # Errors
    ///
    /// [`Refusal::Limit`] at 2^32 - 1 of them.
    pub(crate) const fn referenced(self) -> Result<Self, Refusal> {
        if self.references() == REFERENCES_MAX {
            return Err(Refusal::Limit);
        }
        Ok(Word(self.0 + (1 << REFERENCES_SHIFT)))
    }

    /// The table with one reference less.
    ///
    /// # Errors
    ///
    /// [`Refusal::Monitor`] if it is no table, or nothing refers to it.
    pub(crate) const fn dereferenced(self) -> Result<Self, Refusal> {
        if self.kind().is_none() || self.references() == 0 {
            return Err(Refusal::Monitor);
        }
        Ok(Word(self.0 - (1 << REFERENCES_SHIFT)))
    }

    /// The table after a change of one entry, which may have gained and lost a link.
    ///
    /// # Errors
    ///
    /// [`Refusal::Monitor`] if that made fewer than 0 links or more than 512.
    pub(crate) const fn with_links(self, gained: bool, lost: bool) -> Result<Self, Refusal> {
        let links = self.links() + gained as u64;
        if links < lost as u64 || links - lost as u64 > 512 {
            return Err(Refusal::Monitor);
        }
        Ok(Word(
            self.0 & !LINKS_MASK | (links - lost as u64) << LINKS_SHIFT,
        ))
    }

    /// The bits, for tests of what they can express.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// The words of all frames.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a>(&'a [AtomicU64]);

impl<'a> Frames<'a> {
    /// One word a frame, by its dense number.
    pub(crate) const fn new(words: &'a [AtomicU64]) -> Self {
        Frames(words)
    }

    /// The word of a frame.
    ///
    /// # Errors
    ///
    /// [`Refusal::Monitor`] if the storage is shorter than the segments, which
    /// [`crate::Setup::new`] excludes.
    #[inline]
    pub fn word(&self, frame: Frame) -> Result<Word, Refusal> {
        self.0
            .get(frame.index())
            .map(|w| Word(w.load(Ordering::Acquire)))
            .ok_or(Refusal::Monitor)
    }

    /// Changes a word from the value that was judged.
    ///
    /// # Errors
    ///
    /// [`Refusal::Monitor`] if it holds another value: somebody works without the lock.
    pub(crate) fn transition(&self, frame: Frame, from: Word, to: Word) -> Result<(), Refusal> {
        let word = self.0.get(frame.index()).ok_or(Refusal::Monitor)?;
        word.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
            .map_err(|_| Refusal::Monitor)
    }

    /// Sets up the word of a frame that has just been delegated.
    pub(crate) fn reset(&self, frame: Frame, class: Class) -> Result<(), Refusal> {
        let word = self.0.get(frame.index()).ok_or(Refusal::Monitor)?;
        word.store(Word::fresh(class).0, Ordering::Release);
        Ok(())
    }
}

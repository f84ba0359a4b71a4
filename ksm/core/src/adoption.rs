// SPDX-License-Identifier: MIT OR Apache-2.0

//! How far a step-by-step adoption of a boot page table has come.

use crate::frame::{Frame, Kind};
use crate::refusal::Refusal;

/// A frame that is becoming a table with the contents that it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adoption {
    pub(crate) frame: Frame,
    pub(crate) kind: Kind,
    /// Entry to look at next. What is in front of it is judged, and its links are counted.
    pub(crate) next: usize,
    /// So many are.
    pub(crate) links: u32,
    /// What an entry has broken: the links are given up again, from the last on.
    pub(crate) refusal: Option<Refusal>,
}

impl Adoption {
    /// At its first entry.
    pub(crate) const fn new(frame: Frame, kind: Kind) -> Self {
        Adoption {
            frame,
            kind,
            next: 0,
            links: 0,
            refusal: None,
        }
    }
}

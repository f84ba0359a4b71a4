// SPDX-License-Identifier: MIT OR Apache-2.0

//! The terminal of a process.

use serde::{Deserialize, Serialize};

/// A terminal of a process's own, by its size; 0 where that is not known, as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

impl Terminal {
    /// What a terminal has when nobody says otherwise (the size of a VT100).
    pub const USUAL: Terminal = Terminal {
        rows: 24,
        columns: 80,
    };
}

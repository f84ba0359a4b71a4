// SPDX-License-Identifier: MIT OR Apache-2.0

//! What happened in a session, and when.

use std::time::Instant;

/// When things happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeline {
    /// QEMU was started.
    pub start: Instant,
    /// Init said hello.
    pub hello: Option<Instant>,
    /// The program was executed.
    pub started: Option<Instant>,
    /// Its first byte of output came.
    pub first_byte: Option<Instant>,
    /// QEMU ended.
    pub end: Instant,
}

impl Timeline {
    /// Of a session that ends as it begins, and of which nothing was seen in between.
    #[must_use]
    pub fn at_once() -> Self {
        let now = Instant::now();
        Timeline {
            start: now,
            hello: None,
            started: None,
            first_byte: None,
            end: now,
        }
    }

    /// Whether the program runs, or has run. What it wrote may be here before init's word that it runs.
    pub(crate) fn has_begun(&self) -> bool {
        self.started.or(self.hello.and(self.first_byte)).is_some()
    }
}

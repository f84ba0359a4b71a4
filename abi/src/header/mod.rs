// SPDX-License-Identifier: MIT OR Apache-2.0

//! Generates the C headers from the items of this crate: [`abi`] and [`uapi`].
//!
//! The test `each_committed_header_is_the_one_generated_from_rust` keeps committed and generated ones identical.

pub mod abi;
pub mod uapi;
mod write;

use core::fmt::{self, Write};

/// A header: where it is, and what writes it.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Path below `abi/include`, as C includes it.
    pub path: &'static str,
    /// Writes all of it.
    pub write: fn(&mut dyn Write) -> fmt::Result,
}

/// All headers.
pub const HEADERS: [Header; 2] = [
    Header {
        path: "cki/abi.h",
        write: abi::write,
    },
    Header {
        path: "linux/cki.h",
        write: uapi::write,
    },
];

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Generates headers from the items of this crate: [`abi`], [`shared`] and [`uapi`] for C, [`extension`] for the tests
//! of the emulator.
//!
//! The test `each_committed_header_is_the_one_generated_from_rust` keeps committed and generated ones identical.

pub mod abi;
pub mod extension;
pub mod shared;
pub mod uapi;
mod write;

use core::fmt::{self, Write};

/// A header: where it is, and what writes it.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Path from the top of the checkout.
    pub path: &'static str,
    /// Writes all of it.
    pub write: fn(&mut dyn Write) -> fmt::Result,
}

/// All headers.
pub const HEADERS: [Header; 4] = [
    Header {
        path: "abi/include/cki/abi.h",
        write: abi::write,
    },
    Header {
        path: "abi/include/linux/cki_guest.h",
        write: shared::write,
    },
    Header {
        path: "abi/include/linux/cki.h",
        write: uapi::write,
    },
    Header {
        path: "emulator/tests/rt/extension.h",
        write: extension::write,
    },
];

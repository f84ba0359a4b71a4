// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file of the user's as a disk of a container.
//!
//! [`DiskOption`] is how the command line names it; [`open`] opens it, judges whether it can be a disk, and
//! locks it; [`take`] does so with one that is open already. What it finds wrong is a [`DiskFileError`], which says
//! what to do about it. [`size_limit`] is about files that may not grow as large as they should.
//!
//! Used by: `cki-build` (whose emulator gets the open file), `cki-launcher` and `cki-measure`; tests of `cki-tests`.
//! May use: `cki-session`.

mod error;
mod file;
mod format;
mod lock;
mod option;
pub mod size_limit;

pub use error::{DiskFileError, Problem};
pub use file::{DiskFile, Reader, open, take};
pub use format::Format;
pub use option::DiskOption;

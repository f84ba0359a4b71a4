// SPDX-License-Identifier: MIT OR Apache-2.0

//! How messages put things, for crates that need nothing of the operating system.
//!
//! For: quantities as people read them ([`units`]), names that they may have meant ([`nearest`]). Quantities as people
//! type them are `cki-session`'s.
//! Used by: `cki-build`, `cki-debian`, `cki-deploy`, `cki-doctor`, `cki-inputs`, `cki-nix`. May use: no crate of ours.

pub mod nearest;
pub mod units;

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What every part of the tool needs of the operating system and of the person before it.
//!
//! For: commands as values and the one place that executes them ([`exec`]), telling what goes on
//! ([`progress`]), being told to stop ([`cancel`], [`interrupt`]), files that are replaced or removed as a whole
//! ([`files`]). Exit statuses and quantities as people type them are `cki-session`'s, and how messages put quantities
//! and names is `cki-wording`'s.
//! Used by: `cki-build`, `cki-deploy`, `cki-doctor`, `cki-inputs`, `cki-machine`, `cki-measure`,
//! `cki-nix`, `cki-release`, `cki-verify`, `cki-tests`. May use: `cki-session`.

pub mod attended;
pub mod cancel;
pub mod exec;
pub mod files;
pub mod interrupt;
pub mod progress;
#[cfg(test)]
mod target;

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Nix store: names of fixed outputs, and adding files under them.
//!
//! A *fixed output* is a store path whose name follows from its contents' hash alone, so anybody may put it there: we do, and
//! the derivations of the flake that describe the same file then have nothing left to do.

pub mod command;
mod deb;
mod nar;
mod nix;
pub mod path;

pub use deb::{DebError, extract_program};
pub use nar::nar_sha256;
pub use nix::{Addition, Nix, StoreError};

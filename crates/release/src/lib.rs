// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a release says of itself, so that anybody can check it.
//!
//! - [`component`]: what it consists of and is made from, each with its package URL, licence and hash;
//! - [`cyclonedx`] and [`spdx`]: two bills of materials of the same components, for the tools that read one or the
//!   other;
//! - [`provenance`]: from what, by what and how the outputs were built;
//! - [`manifest`]: every file with its hash, compared with what is there;
//! - [`signature`]: the manifest's, by the user's SSH key.
//!
//! [`make`] writes one and [`verify`] looks at one, both of a [`ground`]: a checkout, its lock files, and who builds.
//! `pinned` reads the components from the lock files, [`subject`] is what is released, `digest` has the hashes,
//! [`args`] what can be asked for, [`error`] why there is no release.
//!
//! All of it follows from its inputs: there is no time but the commit's, and no random number.
//!
//! The formats are types of our own: cyclonedx-bom ends at version 1.5, spdx-rs is not kept, and what is written here
//! is a part of either format that fits on a page.
//!
//! Used by: `cki-build`. May use: `cki-inputs`, `cki-nix`, `cki-process`.

pub mod args;
pub mod component;
pub mod cyclonedx;
mod digest;
pub mod error;
pub mod ground;
pub mod make;
pub mod manifest;
mod pinned;
pub mod provenance;
pub mod signature;
pub mod spdx;
pub mod subject;
pub mod verify;

pub use component::{Component, Role};
pub use subject::{Output, Subject};

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What CKI has to know about Debian archives: versions, control files, dependencies, signed
//! release files and where the machine's apt gets its packages from.
//!
//! Nothing here opens a connection; [`crate::inputs`] does that.

pub mod apt_proxy;
pub mod apt_sources;
pub mod control;
pub mod dependency;
pub mod index;
mod nearest;
pub mod release;
pub mod resolver;
pub mod version;

pub use nearest::nearest_names;

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What CKI has to know about Debian archives.
//!
//! For: versions, control files, dependencies and their resolution, release files, programs out of
//! packages, and where the machine's apt gets its packages from. Nothing here opens a connection or starts a program,
//! and nothing knows of Nix.
//! Why not a crate of others' (looked at in November 2026): `deb822-fast` takes a field that is there twice, and
//! says of no fault in which line it is; `debian-control` and `apt-sources`, which can edit as well, bring 79 and
//! 69 crates, and `debversion` 22 for one comparison.
//! Used by: `cki-inputs`, `cki-build`. May use: `cki-wording`.

pub mod apt_sources;
pub mod control;
pub mod deb;
pub mod dependency;
pub mod index;
pub mod name;
pub mod release;
pub mod resolver;
pub mod version;

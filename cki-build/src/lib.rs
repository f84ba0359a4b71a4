// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds CKI from pinned sources and runs programs in the machine that comes out.
//!
//! The binary is a thin shell: [`cli`] says what can be asked, [`commands`] does it, a file each, with what several of
//! them need: [`age`], [`app`], [`contents`], [`context`], [`image_file`],
//! [`image_kinds`], [`inputs`], [`layers`], [`network`],
//! [`outputs`], [`place`], [`prepare`], [`resident`], [`roots`], [`output`], [`ending`], [`volumes`]. What the commands
//! `check`, `image` and `prune` are made of has modules of these names; `bench`, `deploy`, `doctor`, `release` and
//! `verify` have crates of theirs.
//!
//! Used by: `main.rs`. May use: `cki-debian`, `cki-deploy`, `cki-disk`, `cki-doctor`, `cki-erofs`, `cki-frontend`,
//! `cki-inputs`, `cki-layers`, `cki-machine`, `cki-measure`, `cki-nix`, `cki-oci`, `cki-process`, `cki-release`,
//! `cki-session`, `cki-verify`, `cki-volume`, `cki-wording`.

pub mod age;
pub mod app;
pub mod check;
pub mod cli;
pub mod commands;
pub mod contents;
pub mod context;
pub mod disks;
pub mod elsewhere;
pub mod ending;
pub mod error;
mod help;
mod host_kernel;
pub mod image_file;
pub mod image_kinds;
pub mod inputs;
pub mod layers;
pub mod logging;
pub mod network;
pub mod output;
pub mod outputs;
pub mod place;
pub mod prepare;
pub mod prune;
pub mod resident;
pub mod roots;
pub mod usage;
pub mod volumes;
pub mod write_image;

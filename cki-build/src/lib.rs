// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds CKI from pinned sources and runs programs in the machine that comes out.
//!
//! The binary is a thin shell: [`cli`] says what can be asked, [`commands`] does it, a file each, with
//! what several of them need: [`app`], [`contents`], [`context`], [`image_file`], [`inputs`], [`layers`], [`measured`], [`network`],
//! [`outputs`], [`place`], [`prepare`], [`resident`], [`roots`], [`output`], [`ending`], [`volumes`]. What the commands `check`, `deploy`, `doctor`, `image`, `prune`,
//! `release` and `verify` are made of has modules of these names.
//! Used by: `main.rs`. May use: `cki-debian`, `cki-disk`, `cki-erofs`, `cki-figures`, `cki-frontend`, `cki-inputs`,
//! `cki-layers`, `cki-machine`, `cki-micro`, `cki-nix`, `cki-oci`, `cki-process`, `cki-release`, `cki-session`,
//! `cki-volume`, `cki-workload-names`.

pub mod app;
pub mod check;
pub mod cli;
pub mod commands;
pub mod compared;
pub mod contents;
pub mod context;
pub mod deploy;
pub mod disks;
pub mod doctor;
pub mod elsewhere;
pub mod ending;
pub mod error;
mod help;
pub mod image;
pub mod image_file;
pub mod inputs;
pub mod layers;
pub mod logging;
pub mod measured;
pub mod network;
pub mod output;
pub mod outputs;
pub mod place;
pub mod prepare;
pub mod prune;
pub mod release;
pub mod resident;
pub mod roots;
pub mod runtime;
pub mod usage;
pub mod verify;
pub mod volumes;

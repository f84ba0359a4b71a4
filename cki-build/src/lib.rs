// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds CKI from pinned sources and runs programs in the machine that comes out.
//!
//! The binary is a thin shell. What `bench`, `deploy`, `doctor`, `release` and `verify` do is in crates of their own.
//!
//! | modules | what |
//! |---|---|
//! | [`cli`], [`resident`] | what can be asked: of everything, and of a machine that stays up |
//! | `help`, [`usage`], [`elsewhere`] | what `--help` adds, what is said of a wrong line, words of other engines |
//! | [`commands`] | does what is asked, a file for each command |
//! | [`context`] | what most commands need: checkout, cache, Nix |
//! | [`contents`], [`app`], [`layers`], [`image_file`] | what a program runs in, from the words to a disk |
//! | [`prepare`], [`place`], `host_kernel` | from the words of `run` to a request, where, and on which kernel |
//! | [`disks`], [`volumes`], [`network`] | what a program is given of the user's |
//! | [`inputs`], [`outputs`] | what the build starts from, what comes out of it |
//! | [`check`] | the groups of tests that `check` runs |
//! | [`image_kinds`], [`write_image`] | which images can be asked for, and how they are written to files |
//! | [`prune`], [`roots`], [`age`] | what nobody has used for long |
//! | [`error`], [`logging`], [`output`], [`ending`] | failures, logs, results, and how a program ended |
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

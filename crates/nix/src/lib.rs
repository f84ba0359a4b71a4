// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nix as CKI uses it.
//!
//! For: Nix on the machine ([`setup`], `making` its store) and its [`settings`]; the commands that are run
//! ([`command`], `run`), their progress ([`log`]) and their failures in words ([`error`], a file system that is
//! [`full`]); store paths and adding files under them ([`store`], [`path`], [`nar`]); the checkout that the flake is
//! evaluated from ([`checkout`], [`flake`], whether it is a `foreign` user's), evaluations ([`eval`]) and those that
//! are remembered ([`cache`]), and which outputs a hash fixes ([`derivations`]).
//! Used by: `cki-build`, `cki-doctor`, `cki-inputs`, `cki-release`, `cki-verify`, `cki-tests`. May use: `cki-process`,
//! `cki-wording`.

pub mod cache;
pub mod checkout;
pub mod command;
pub mod derivations;
pub mod error;
pub mod eval;
pub mod flake;
mod foreign;
pub mod full;
pub mod log;
mod making;
pub mod nar;
pub mod path;
mod run;
pub mod settings;
pub mod setup;
pub mod store;

pub use command::Nix;
pub use error::NixError;
pub use eval::Target;
pub use flake::Flake;

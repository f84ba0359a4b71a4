// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the request and the lock file to files in the Nix store.
//!
//! - [`request`] is what people write, [`lockfile`] what they get, [`lock`] turns one into the other;
//! - [`app`] resolves the packages of an application image;
//! - [`provide`] downloads ([`fetch`]), verifies and imports whatever is missing from the store;
//! - [`crates`] does the same for the crates in Cargo.lock.
//!
//! [`Context`] holds what they all need.
//!
//! Used by: `cki-build`. May use: `cki-debian`, `cki-nix`, `cki-process`.

pub mod app;
pub mod archive;
pub mod cache;
mod context;
pub mod crates;
mod error;
pub mod fetch;
pub mod lock;
pub mod lockfile;
pub mod mirrors;
pub mod progress;
pub mod provide;
pub mod request;
mod transport;

pub use context::Context;
pub use error::InputsError;
pub use progress::{Cancel, Progress, Silent};

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Images of containers, as `podman save`, `docker save`, `skopeo copy` and `buildah push` write them: an archive
//! (tar) or a directory in one of two forms, the OCI image layout or Docker's.
//!
//! - [`source`] gives the parts of an archive or directory by name,
//! - [`image`] finds the one image for this machine in it: its [`config`] and its layers,
//! - [`layer`] makes an EROFS file system of a layer, entry by entry. Nothing is unpacked as files.
//!
//! An archive comes from anywhere: everything in it is checked against the digest that names it, what cannot be is
//! refused by name ([`OciError`]), and there are limits for whatever could grow without end.
//!
//! Used by: `cki-build`. May use: `cki-erofs`.

#![forbid(unsafe_code)]

pub mod config;
mod deletions;
mod digest;
mod error;
mod headers;
pub mod image;
pub mod layer;
pub mod source;
mod zstd;

pub use config::Config;
pub use error::{OciError, Odd};
pub use image::Image;

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The user's side of a session.
//!
//! `cki-build run` and `cki run` start the same programs, so they have the same options for them and
//! their network, and the same terminal in front of them; so do `cki-build exec` and `cki exec`.
//!
//! Used by: `cki-build`, `cki-launcher`, `cki-machine`, `cki-measure`. May use: `cki-session`.

mod beside;
mod env_file;
mod image_config;
mod network;
mod options;
mod publish;
mod runtime;
mod terminal;
mod variable;
mod volume;

pub use beside::BesideOptions;
pub use env_file::EnvFileError;
pub use image_config::{ImageConfig, ImageConfigError};
pub use network::NetworkOptions;
pub use options::{ProcessOptions, ProgramError, ProgramOptions};
pub use publish::PublishOption;
pub use runtime::Runtime;
pub use terminal::UserTerminal;
pub use variable::{NotText, Variable};
pub use volume::VolumeOption;

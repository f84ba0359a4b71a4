// SPDX-License-Identifier: MIT OR Apache-2.0

//! What each command does.

mod bench;
mod build;
mod check;
mod context;
mod demo;
mod docs;
mod doctor;
mod image;
pub mod inputs;
mod run;
mod verify;

use std::io::Write as _;

use serde::Serialize;

use crate::cli::{Cli, Command};
use cki_process::exit::Status;
pub use context::Context;

/// Why a command could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cache directory.
    #[error(transparent)]
    Cache(#[from] cki_nix::cache::CacheError),
    /// The checkout.
    #[error(transparent)]
    Checkout(#[from] cki_nix::checkout::CheckoutError),
    /// The inputs.
    #[error(transparent)]
    Inputs(#[from] cki_inputs::InputsError),
    /// Nix.
    #[error(transparent)]
    Nix(#[from] cki_nix::NixError),
    /// The machine.
    #[error(transparent)]
    Session(#[from] cki_machine::SessionError),
    /// Writing an image.
    #[error(transparent)]
    Image(#[from] crate::image::ImageError),
    /// A program that was run.
    #[error(transparent)]
    Exec(#[from] cki_process::exec::ExecError),
    /// A file of ours.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Nobody reads standard output any more.
    #[error("nobody reads the output")]
    BrokenPipe,
    /// A container with more processors than this version gives one.
    #[error(
        "a container has one virtual processor in this version, not {0}; leave --cpus out, or add --runtime native, which isolates nothing"
    )]
    Cpus(u32),
    /// The demonstration did not show what it should.
    #[error("{0}")]
    Demo(String),
    /// A measurement that makes no sense.
    #[error("{0}")]
    Bench(String),
}

impl Error {
    /// Exit status of `cki-build`.
    #[must_use]
    pub const fn exit_status(&self) -> Status {
        match self {
            Self::BrokenPipe => Status(141),
            _ => Status::FAILED,
        }
    }
}

/// Does what the command line says and gives the exit status.
///
/// # Errors
/// [`Error`].
pub fn dispatch(cli: &Cli) -> Result<Status, Error> {
    let global = &cli.global;
    match &cli.command {
        Command::Run(args) => run::run(&Context::new(global)?, args),
        Command::Demo(args) => demo::demo(&Context::new(global)?, args),
        Command::Build(args) => build::build(&Context::new(global)?, args),
        Command::Fetch(args) => inputs::fetch(&Context::new(global)?, args),
        Command::Lock(args) => inputs::lock(&Context::new(global)?, args),
        Command::Image(args) => image::image(&Context::new(global)?, args),
        Command::Verify(args) => verify::verify(&Context::new(global)?, args),
        Command::Doctor => doctor::doctor(global),
        Command::Check(args) => check::check(&Context::new(global)?, args),
        Command::Bench(args) => bench::bench(&Context::new(global)?, args),
        Command::Completions { shell } => docs::completions(*shell),
        Command::Man { out } => docs::man(out.as_deref()),
    }
}

/// Writes a line to standard output.
fn print(text: &str) -> Result<(), Error> {
    print_bytes(format!("{text}\n").as_bytes())
}

/// Writes a value as JSON to standard output.
fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Io {
        path: "JSON".into(),
        source: error.into(),
    })?;
    print(&text)
}

fn print_bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut out = std::io::stdout();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|source| {
            if source.kind() == std::io::ErrorKind::BrokenPipe {
                Error::BrokenPipe
            } else {
                Error::Io {
                    path: "standard output".into(),
                    source,
                }
            }
        })
}

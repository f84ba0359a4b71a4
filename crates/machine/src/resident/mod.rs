// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine that stays up: one emulator, in which many clients have containers at the same time.
//!
//! A process of its own, the *supervisor* ([`serve_if_asked`]), has the emulator as its child, and a directory with a
//! socket. A client that connects there and asks for a *lease* gets a place of the machine ([`cki_session::Serve`]):
//! the four ports of a session, as open files, with the disk that it named and its volumes plugged in. It then drives
//! its session as it would in a machine of its own ([`crate::run_in`]). The place is its own until it closes the
//! connection, by its end at the latest; then the machine's init kills what is left of the session, and the place is
//! leased again only when that is done.

mod books;
mod client;
mod directory;
mod disks;
mod emulator;
mod error;
mod hello;
pub(crate) mod lease;
mod leases;
mod messages;
mod news;
mod passing;
mod published;
mod qmp;
mod setup;
mod supervisor;
mod volumes;

pub use client::{Up, start};
pub use directory::Directory;
pub use error::ResidentError;
pub use lease::Lease;
pub use messages::{Build, MachineStatus, Wanted};
pub use setup::Setup;
pub use supervisor::serve_if_asked;

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Puts a system on hosts that were started from a disk with two slots (`images/system`), over ssh.
//!
//! A host writes the system into the slot that does not run, starts it on trial, and goes back by itself unless
//! somebody confirms it (`images/system/root/usr/lib/cki/slot`). All that is asked here over a connection of its own,
//! so whatever ends this program leaves the host on its way back, or done: [`one`] is what is done on one host,
//! [`many`] on several, `back` what is done when it does not work, [`state`] what a host says of itself, `talk` and
//! [`ssh`] how it is asked.
//!
//! [`args`] is what one can ask for, [`host`] how a host is named, [`system`] what is put there and [`name`] how that
//! is called; [`contents`] says what would be different. [`probes`] decide whether a host is well, by `http` among
//! other things. `outcome` and [`error`] are what became of it.
//!
//! Used by: `cki-build`. May use: `cki-process`, `cki-session`, `cki-wording`.

pub mod args;
mod back;
pub mod contents;
pub mod error;
pub mod host;
#[cfg(test)]
mod hostile;
mod http;
pub mod many;
pub mod name;
pub mod one;
mod outcome;
pub mod probes;
pub mod ssh;
pub mod state;
pub mod system;
mod talk;
#[cfg(test)]
mod target;
#[cfg(test)]
mod tests;

pub use outcome::{Did, HostOutcome};

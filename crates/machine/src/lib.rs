// SPDX-License-Identifier: MIT OR Apache-2.0

//! A session: one machine, one program in it, its streams and its end.
//!
//! QEMU inherits one end of a socket pair for each virtio-serial port, so there are no socket files
//! that could be left behind or taken over, and no connection to wait for. Threads relay the streams;
//! all they notice goes through one channel to [`run`], which alone decides.
//!
//! | modules | what |
//! |---|---|
//! | [`driver`] | begin here: runs a session from the start of QEMU to its end |
//! | `session`, `relay`, `inputs`, `course` | its threads, what they tell it, what each word and deadline does to it |
//! | `link`, `ports`, `channel` | what is behind its ports, our ends of them, what each is called |
//! | `request`, `requests` | what the machine's init is asked for, and how that gets there |
//! | `terms`, `timeline` | what a session is given and gives back, and when what happened |
//! | `meter`, `patience` | how much of the output has come, and how long a machine may take to start |
//! | [`machine`], `board`, `host_image` | the machine as a command line of QEMU, and what it boots |
//! | `app_disk`, `disks`, `volumes` | what QEMU is told of images, disks and volumes |
//! | [`network`], `ipv6` | the machine's network, and published ports on IPv6, which QEMU has not |
//! | [`resident`] | a machine that stays up, with many clients |
//! | `console`, `error` | what is left to say when it ends badly |
//! | [`storm`], [`tsc`] | NMIs on purpose; the frequency of the time stamp counter |
//!
//! Used by: `cki-build`, `cki-measure`, and the tests that need a machine (`cki-tests`). May use:
//! `cki-frontend`, `cki-process`, `cki-session`.

mod app_disk;
mod board;
mod channel;
mod console;
mod course;
mod disks;
pub mod driver;
mod error;
mod host_image;
mod inputs;
mod ipv6;
mod link;
pub mod machine;
mod meter;
pub mod network;
mod patience;
mod ports;
mod relay;
mod request;
mod requests;
pub mod resident;
mod session;
pub mod storm;
mod terms;
mod timeline;
pub mod tsc;
mod volumes;

#[cfg(test)]
mod place_test;

pub use app_disk::AppDisk;
pub use disks::UserDisk;
pub use driver::{run, run_in};
pub use error::MachineError;
pub use host_image::{Board, HostImage, Hypervisor};
pub use inputs::Signals;
pub use machine::Machine;
pub use network::MachineNetwork;
pub use terms::{Ended, Io, TimeLimit};
pub use timeline::Timeline;

// SPDX-License-Identifier: MIT OR Apache-2.0

//! A session: one machine, one program in it, its streams and its end.
//!
//! QEMU inherits one end of a socket pair for each virtio-serial port, so there are no socket files
//! that could be left behind or taken over, and no connection to wait for. Threads relay the streams;
//! all they notice goes through one channel to [`run`], which alone decides.
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

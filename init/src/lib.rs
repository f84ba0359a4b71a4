// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parts of `cki-init`, PID 1 of a CKI machine.
//!
//! A *session* runs one program from an application image for a client, over the protocol of
//! [`cki_session`]: in a machine the client is `cki-build`, in a container its launcher. A machine's init
//! that is asked for a container is a client itself, of the launcher that it starts. The *shell* mode gives the disk
//! image a prompt on its consoles. What can be decided without being PID 1 is plain functions here, and tested on any
//! machine.
//!
//! Used by: its program. May use: `cki-erofs`, `cki-session`.

pub mod account;
pub mod channel;
pub mod client;
pub mod clock;
pub mod cmdline;
pub mod container;
pub mod credentials;
pub mod digest;
pub mod disks;
pub mod exec;
pub mod failure;
pub mod group;
pub mod image;
pub mod inheritance;
pub mod launcher;
pub mod machine;
pub mod modules;
pub mod mounts;
pub mod names;
pub mod net;
pub mod netlink;
pub mod oom;
pub mod place;
pub mod ports;
pub mod process;
pub mod program;
pub mod pty;
pub mod pump;
pub mod regular;
pub mod root;
pub mod running;
pub mod runtime;
pub mod serve;
mod served;
pub mod server;
pub mod session;
pub mod shell;
mod start;
pub mod unhung;
pub mod vsock;

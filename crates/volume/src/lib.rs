// SPDX-License-Identifier: MIT OR Apache-2.0

//! A directory of the user's as a volume of a container.
//!
//! Each volume has a process of its own, which serves the directory by FUSE messages on a stream socket:
//!
//! ```text
//! program's system call -> the container's FUSE --virtio-fs--> launcher --socket or virtio-serial port--> process
//! ```
//!
//! The process is *not* trusted: a container that took it over has the directory and nothing else.
//! [`sandbox`] puts it into namespaces of its own (users, mounts, processes, network, System V objects, host name),
//! with a root that has the directory and the process's own `/proc` only, drops the capabilities that
//! serving files does not take, and allows the system calls that it does. It never sees memory of a
//! container: messages are copied whole, and those that are too long end the volume ([`message`]).
//!
//! Files: the serving itself is `fuse-backend-rs`' passthrough file system ([`serve`]). The user who
//! starts the process is root in the container. A process that root starts keeps all owners as they are.
//!
//! [`client::start`] starts the process by executing the program again, which asks [`serve::if_asked`]
//! before all else.
//!
//! Used by: `cki-build` (the process is beside the emulator) and `cki-launcher` (on a host). May use: none of ours.

pub mod client;
pub mod message;
mod mounts;
pub mod sandbox;
mod seccomp;
pub mod serve;
mod words;

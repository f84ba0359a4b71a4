// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is behind devices, on the host's side. Nothing here sees queues or guest memory.

pub mod disk;
pub mod file;
pub mod host;
pub mod neighbour;
pub mod network;
pub mod offload;
pub mod passt;
pub mod policy;
pub mod standby;
pub mod tap;
pub mod unix_sockets;
pub mod volume;

#[cfg(test)]
mod power_tests;

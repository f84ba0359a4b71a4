// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is behind devices, on the host's side. Nothing here sees queues or guest memory.

pub mod unix_sockets;

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a container starts with: kernel image, memory layout, boot page tables, start info.
//!
//! All of it is computed as values first (nothing here knows `/dev/cki`) and then written by [`load`].

pub mod erofs;
pub mod kernel;
pub mod layout;
pub mod load;
pub mod tables;

/// Bytes of a frame.
pub const FRAME: u64 = cki_abi::limits::FRAME_SIZE;
/// Bytes of a chunk: what segments are made of, and what a 2 MiB page maps.
pub const CHUNK: u64 = cki_abi::limits::CHUNK_SIZE;

// A request may ask for as much as the monitor keeps count of.
const _: () =
    assert!(cki_session::Memory::CONTAINER_MAX.bytes() == cki_abi::limits::FRAMES_MAX * FRAME);

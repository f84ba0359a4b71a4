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

/// `value` rounded up to a multiple of `unit`, a power of two; `None` if that exceeds 64 bits.
#[must_use]
pub fn round_up(value: u64, unit: u64) -> Option<u64> {
    Some(value.checked_add(unit - 1)? & !(unit - 1))
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where an inode is, and the measures that decide about it.

/// Bytes of a block.
pub(super) const BLOCK: u64 = 4096;

/// Largest end of a file that is put beside its inode, in bytes.
pub(super) const LARGEST_TAIL: u64 = 2048;

/// Bytes of an inode.
pub(super) const INODE: u64 = 64;

/// Inodes begin at multiples of this many bytes, which number them.
pub(super) const SLOT: u64 = 32;

/// Where an inode and what belongs to it are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its number in order, from 0.
    pub(super) id: u32,
    /// Bytes from the start of the inodes.
    pub(super) offset: u64,
    /// Bytes of its data beside it.
    pub(super) tail: u64,
    /// First block of a directory's data.
    pub(super) first: u32,
    /// Bytes of its data.
    pub(super) size: u64,
    /// Names of a directory: its own, its dot, and the two dots of those in it.
    pub(super) links: u32,
}

impl Place {
    /// The inode's number.
    pub(super) const fn nid(&self) -> u64 {
        self.offset / SLOT
    }
}

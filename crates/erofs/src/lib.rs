// SPDX-License-Identifier: MIT OR Apache-2.0

//! EROFS file systems (Linux, `fs/erofs/erofs_fs.h`): the superblock, in the few fields that we look at, and a writer.
//!
//! The kernel judges an image for itself; this turns "cannot mount" into a sentence for the two mistakes that people
//! make, another file and half a file, and finds a disk by its UUID. No crate on crates.io reads it without unpacking
//! images, too, which is why these lines are our own. [`mod@write`] makes such file systems.
//!
//! Used by: `cki-build`, `cki-init`, `cki-launcher`, `cki-layers`, `cki-oci`. May use: no crate of ours.

#![forbid(unsafe_code)]

mod disk;
pub mod write;

pub use disk::{Disk, START};

/// Where the superblock begins, in bytes.
pub const OFFSET: u64 = 1024;

/// Bytes of it that are looked at; it has 128.
pub const LENGTH: usize = 64;

/// Its first field.
pub const MAGIC: u32 = 0xe0f5_e1e2;

/// Where the logarithm of the block's size, the number of blocks, and the UUID are in it.
const BLOCK_BITS: usize = 12;
const BLOCKS: usize = 36;
const UUID: usize = 48;

/// What a superblock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Bytes of the whole file system.
    pub size: u64,
    /// Its UUID.
    pub uuid: [u8; 16],
}

impl Superblock {
    /// Reads what stands at [`OFFSET`]; none when that is no superblock.
    #[must_use]
    pub fn parse(bytes: &[u8; LENGTH]) -> Option<Self> {
        let word = |at: usize| {
            let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            u32::from_le_bytes(bytes)
        };
        let bits = bytes[BLOCK_BITS];
        // Blocks of 512 bytes to 64 KiB.
        if word(0) != MAGIC || !(9..=16).contains(&bits) {
            return None;
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[UUID..]);
        Some(Self {
            size: u64::from(word(BLOCKS)) << bits,
            uuid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock() -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[BLOCK_BITS] = 12;
        bytes[BLOCKS..BLOCKS + 4].copy_from_slice(&3u32.to_le_bytes());
        bytes[UUID..].copy_from_slice(&[7; 16]);
        bytes
    }

    #[test]
    fn size_and_uuid_are_read() {
        let expected = Superblock {
            size: 3 * 4096,
            uuid: [7; 16],
        };
        assert_eq!(Superblock::parse(&superblock()), Some(expected));
    }

    #[test]
    fn another_magic_number_and_odd_blocks_are_none() {
        assert_eq!(Superblock::parse(&[0; LENGTH]), None);
        for bits in [0, 8, 17, 255] {
            let mut bytes = superblock();
            bytes[BLOCK_BITS] = bits;
            assert_eq!(Superblock::parse(&bytes), None, "{bits}");
        }
    }
}

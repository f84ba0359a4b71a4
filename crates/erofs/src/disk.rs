// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disk with the image of an application: one EROFS file system, or several as the partitions of a GUID
//! partition table (UEFI 2.10, 5.3), the lowest layer first, as `cki-layers` composes them.

use crate::{LENGTH, OFFSET, Superblock};

/// Where the table's header is, in bytes, and what it starts with.
const TABLE: usize = 512;
const SIGNATURE: &[u8; 8] = b"EFI PART";

/// Where the sector of the header's copy, the last one of the disk, is in the header.
const LAST_SECTOR: usize = 32;

/// Bytes at the start of a disk that [`Disk::parse`] wants to see.
pub const START: usize = OFFSET as usize + LENGTH;

/// What a disk says that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// One file system.
    Whole {
        /// Its bytes.
        size: u64,
    },
    /// A table of layers.
    Layers {
        /// Bytes of the disk.
        size: u64,
    },
}

impl Disk {
    /// Reads the start of a disk; none when it holds something else.
    #[must_use]
    pub fn parse(start: &[u8]) -> Option<Self> {
        let header = start.get(TABLE..)?;
        if header.starts_with(SIGNATURE) {
            let last = header.get(LAST_SECTOR..)?.first_chunk()?;
            let sectors = u64::from_le_bytes(*last).checked_add(1)?;
            let size = sectors.checked_mul(512)?;
            return Some(Self::Layers { size });
        }
        let superblock = start.get(OFFSET as usize..)?.first_chunk()?;
        Superblock::parse(superblock).map(|superblock| Self::Whole {
            size: superblock.size,
        })
    }

    /// Bytes that the disk must have.
    #[must_use]
    pub const fn size(self) -> u64 {
        match self {
            Self::Whole { size } | Self::Layers { size } => size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAGIC;

    #[test]
    fn a_file_system_and_a_table_say_how_large_the_disk_is() {
        let mut start = vec![0; START];
        start[1024..1028].copy_from_slice(&MAGIC.to_le_bytes());
        start[1024 + 12] = 12;
        start[1024 + 36] = 3;
        assert_eq!(Disk::parse(&start), Some(Disk::Whole { size: 3 * 4096 }));
        start[512..520].copy_from_slice(SIGNATURE);
        start[544] = 199;
        assert_eq!(Disk::parse(&start), Some(Disk::Layers { size: 200 * 512 }));
    }

    #[test]
    fn anything_else_and_sizes_that_cannot_be_are_none() {
        assert_eq!(Disk::parse(&[]), None);
        assert_eq!(Disk::parse(&[0; START]), None);
        assert_eq!(Disk::parse(&[0; 520]), None);
        let mut start = vec![0; START];
        start[512..520].copy_from_slice(SIGNATURE);
        for last in [u64::MAX, u64::MAX / 512] {
            start[544..552].copy_from_slice(&last.to_le_bytes());
            assert_eq!(Disk::parse(&start), None);
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! A look at the application image before it is given to a guest.
//!
//! The guest's kernel judges the image for itself; this only turns "cannot mount" in there into a
//! sentence out here, for the two mistakes that people make: another file, and half a file.

use cki_erofs::{LENGTH, OFFSET, Superblock};

/// Why a file is no root image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Too short or without the magic number.
    #[error("no EROFS image, as cki-build image app makes")]
    Foreign,
    /// Shorter than the file system in it.
    #[error(
        "truncated: the file system in it has {expected} bytes, the file has {actual}; copy or make it again"
    )]
    Truncated {
        /// Bytes of the file system.
        expected: u64,
        /// Bytes of the file.
        actual: u64,
    },
}

/// Judges an image of `length` bytes by its first bytes (at least [`START`] where there are as many).
///
/// # Errors
/// [`ImageError`].
pub fn check(start: &[u8], length: u64) -> Result<(), ImageError> {
    let superblock = start
        .get(OFFSET as usize..)
        .and_then(<[u8]>::first_chunk::<LENGTH>)
        .and_then(Superblock::parse)
        .ok_or(ImageError::Foreign)?;
    if superblock.size > length {
        return Err(ImageError::Truncated {
            expected: superblock.size,
            actual: length,
        });
    }
    Ok(())
}

/// Bytes that [`check`] wants to see.
pub const START: usize = OFFSET as usize + LENGTH;

#[cfg(test)]
mod tests {
    use super::*;
    use cki_erofs::MAGIC;

    fn image(blocks: u32) -> Vec<u8> {
        let mut start = vec![0; START];
        start[1024..1028].copy_from_slice(&MAGIC.to_le_bytes());
        start[1024 + 12] = 12;
        start[1024 + 36..1024 + 40].copy_from_slice(&blocks.to_le_bytes());
        start
    }

    #[test]
    fn a_whole_image_passes() {
        assert!(check(&image(3), 3 * 4096).is_ok());
    }

    #[test]
    fn half_an_image_is_called_truncated() {
        let error = check(&image(3), 3 * 4096 - 1).unwrap_err();
        assert!(matches!(
            error,
            ImageError::Truncated {
                expected: 12288,
                ..
            }
        ));
    }

    #[test]
    fn another_file_is_called_foreign() {
        assert!(matches!(check(&[], 0), Err(ImageError::Foreign)));
        assert!(matches!(
            check(&[0; START], 1 << 20),
            Err(ImageError::Foreign)
        ));
        let mut odd = image(1);
        odd[1024 + 12] = 40;
        assert!(matches!(check(&odd, 1 << 20), Err(ImageError::Foreign)));
    }
}

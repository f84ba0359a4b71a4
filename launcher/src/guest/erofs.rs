// SPDX-License-Identifier: MIT OR Apache-2.0

//! A look at the application image before it is given to a guest.
//!
//! The guest's kernel judges the image for itself; this only turns "cannot mount" in there into a
//! sentence out here, for the two mistakes that people make: another file, and half a file.

use cki_erofs::Disk;
/// Bytes that [`check`] wants to see.
pub use cki_erofs::START;

/// Why a file is no root image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Too short or without the magic number.
    #[error("no EROFS image or disk of layers, as cki-build image app makes")]
    Foreign,
    /// Shorter than the file system in it.
    #[error(
        "truncated: what is in it has {expected} bytes, the file has {actual}; copy or make it again"
    )]
    Truncated {
        /// Bytes of the file system, or of the disk of layers.
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
    let expected = Disk::parse(start).ok_or(ImageError::Foreign)?.size();
    if expected > length {
        return Err(ImageError::Truncated {
            expected,
            actual: length,
        });
    }
    Ok(())
}

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
    fn a_disk_of_layers_passes_when_it_is_whole() {
        let mut start = vec![0; START];
        start[512..520].copy_from_slice(b"EFI PART");
        start[512 + 32] = 99;
        assert!(check(&start, 100 * 512).is_ok());
        let error = check(&start, 99 * 512).unwrap_err();
        assert!(matches!(error, ImageError::Truncated { .. }));
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

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the first bytes of a disk must be, given as their number and their SHA-256 (FIPS 180-4).

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sha2::{Digest as _, Sha256};

/// Bytes that are read at once.
const TURN: usize = 1 << 20;

/// So many bytes with this SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    sha256: String,
    length: u64,
}

impl Digest {
    /// Reads `HEX:BYTES`; none when that is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (sha256, length) = text.split_once(':')?;
        let is_hex = sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_hex && sha256.len() == 64).then_some(())?;
        Some(Self {
            sha256: sha256.to_ascii_lowercase(),
            length: length.parse().ok()?,
        })
    }

    /// Whether `file` begins with these bytes. All of them are read.
    ///
    /// # Errors
    /// Those of `pread(2)`, and `UnexpectedEof` when the file is shorter.
    pub fn is_start_of(&self, file: &File) -> io::Result<bool> {
        let (mut hasher, mut at) = (Sha256::new(), 0);
        let mut buffer = vec![0; TURN];
        while at < self.length {
            let turn = TURN.min(usize::try_from(self.length - at).unwrap_or(TURN));
            file.read_exact_at(&mut buffer[..turn], at)?;
            hasher.update(&buffer[..turn]);
            at += turn as u64;
        }
        Ok(hex(&hasher.finalize()) == self.sha256)
    }

    /// That of these bytes.
    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            sha256: hex(&Sha256::digest(bytes)),
            length: bytes.len() as u64,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, File) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        std::fs::write(&path, bytes).unwrap();
        (directory, File::open(path).unwrap())
    }

    #[test]
    fn the_first_bytes_count_and_none_behind_them() {
        let content: Vec<u8> = (0..3 * TURN / 2).map(|number| number as u8).collect();
        let digest = Digest::of(&content);
        let mut padded = content.clone();
        padded.resize(2 * TURN, 7);
        let (_directory, open) = file(&padded);
        assert!(digest.is_start_of(&open).unwrap());
        for changed in [0, TURN - 1, TURN, content.len() - 1] {
            let mut other = padded.clone();
            other[changed] ^= 1;
            let (_directory, open) = file(&other);
            assert!(!digest.is_start_of(&open).unwrap(), "byte {changed}");
        }
    }

    #[test]
    fn a_disk_that_ends_too_early_is_an_error() {
        let (_directory, open) = file(b"short");
        let error = Digest::of(b"shorter").is_start_of(&open).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! SHA-256 of what is read.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::error::OciError;

/// The hexadecimal part of `sha256:...`; no other algorithm is known.
pub(crate) fn hex(digest: &str) -> Result<&str, OciError> {
    let hex = digest.strip_prefix("sha256:").filter(|hex| {
        let lower = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        hex.len() == 64 && hex.bytes().all(lower)
    });
    hex.ok_or_else(|| OciError::Malformed {
        part: "a digest".to_owned(),
        problem: format!("{digest:?} is not sha256: and 64 digits"),
    })
}

/// Hashes and counts what is read through it, and ends with an error at a limit.
#[derive(Debug)]
pub(crate) struct Hashing<R> {
    inner: R,
    hash: Sha256,
    pub(crate) bytes: u64,
    limit: u64,
}

/// What an error at the limit says, to be told from others.
pub(crate) const LIMIT: &str = "more bytes than the limit";

impl<R: Read> Hashing<R> {
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            bytes: 0,
            limit,
        }
    }

    /// Reads to the end and gives the digest and the number of bytes.
    pub(crate) fn finish(mut self) -> io::Result<(String, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((format!("{:x}", self.hash.finalize()), self.bytes))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes += n as u64;
        if self.bytes > self.limit {
            return Err(io::Error::other(LIMIT));
        }
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

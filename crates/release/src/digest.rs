// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hashes, and identifiers made of them.

use sha2::{Digest as _, Sha256};

/// The SHA-256 of some bytes, lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// A UUID that follows from `text` (RFC 9562, version 8).
pub(crate) fn uuid(text: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .hyphenated()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_uuid() {
        let (a, b) = (uuid("a"), uuid("b"));
        assert_eq!(a, uuid("a"));
        assert_ne!(a, b);
        assert_eq!((a.len(), &a[14..15]), (36, "8"));
        assert!(sha256(b"").starts_with("e3b0c44298fc1c14"));
    }
}

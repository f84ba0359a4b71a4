// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names of store paths, computed as Nix does.
//!
//! The algorithm is in Nix's manual under "Store path calculation" (`doc/manual/.../store-path.md`, in older versions
//! in `src/libstore/store-api.cc`). There is a crate, nix-compat, that has it, but what crates.io holds under that name
//! is empty, so these few lines are our own; nix-base32 supplies the encoding.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What a fixed output's hash is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// The bytes of a single, non-executable file.
    Flat,
    /// The Nix archive of a file or directory.
    Recursive,
}

/// Characters of the hash in a store path.
const HASH: usize = 32;

/// The longest name that Nix allows.
const MAX_NAME: usize = 211;

/// Whether Nix takes the text as a store name, and Debian's Nix 2.8 and shells without quoting do too.
#[must_use]
pub fn is_store_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._?=-".contains(&b))
}

/// The store name for a file: its own, with each character that is not allowed replaced by `_`.
///
/// Different names may become one (`a+b`, `a~b`). That does no harm, as the hash is part of the path.
#[must_use]
pub fn store_name(file: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._?=-".contains(c);
    let mut name: String = file
        .chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect();
    name.truncate(MAX_NAME);
    if name.starts_with('.') {
        name.replace_range(..1, "_");
    }
    name
}

/// The store name for the file at the end of a path.
#[must_use]
pub fn store_name_of(path: &str) -> String {
    store_name(path.rsplit('/').next().unwrap_or(path))
}

/// The store name in a store path: what follows hash and dash.
#[must_use]
pub fn name_of(path: &Path) -> &OsStr {
    let name = path.file_name().unwrap_or_default().as_bytes();
    OsStr::from_bytes(name.get(HASH + 1..).unwrap_or_default())
}

/// The store path of a fixed output.
///
/// `sha256` is lower-case hexadecimal: of the file for [`Mode::Flat`], of its Nix archive for [`Mode::Recursive`].
#[must_use]
pub fn fixed_output_path(store: &Path, name: &str, mode: Mode, sha256: &str) -> PathBuf {
    let store_text = store.to_string_lossy();
    let fingerprint = match mode {
        // Recursive SHA-256 is the way sources are added, and has the type of those.
        Mode::Recursive => format!("source:sha256:{sha256}:{store_text}:{name}"),
        Mode::Flat => {
            let inner = Sha256::digest(format!("fixed:out:sha256:{sha256}:"));
            format!("output:out:sha256:{inner:x}:{store_text}:{name}")
        }
    };
    let digest = Sha256::digest(fingerprint);
    store.join(format!(
        "{}-{name}",
        nix_base32::to_nix_base32(&fold(&digest))
    ))
}

/// Shortens a hash to 20 bytes by exclusive or, as Nix does for paths.
fn fold(digest: &[u8]) -> [u8; 20] {
    let mut folded = [0; 20];
    for (i, byte) in digest.iter().enumerate() {
        folded[i % 20] ^= byte;
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected paths are what `nix-store --print-fixed-path sha256 HASH NAME` (Nix 2.8) prints, the second with
    /// `--recursive`.
    #[test]
    fn paths_are_those_that_nix_computes() {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let path = |mode, name| fixed_output_path(Path::new("/nix/store"), name, mode, hash);
        assert_eq!(
            path(Mode::Flat, "empty.deb"),
            Path::new("/nix/store/78qa12qn0wikhyxndpl0xlfi0qam627c-empty.deb")
        );
        assert_eq!(
            path(Mode::Recursive, "cki-seed"),
            Path::new("/nix/store/0ysnkpc7hpj9db89fwkz0zc6arzi8cs5-cki-seed")
        );
        assert_eq!(name_of(&path(Mode::Flat, "empty.deb")), "empty.deb");
        assert_eq!(name_of(Path::new("/nix/store/short")), "");
        let elsewhere = fixed_output_path(Path::new("/tmp/store"), "empty.deb", Mode::Flat, hash);
        assert_eq!(
            elsewhere,
            Path::new("/tmp/store/f0bfsbx10ysf4zhf2q8ilgpzl4wm15gf-empty.deb")
        );
    }

    #[test]
    fn names_keep_what_nix_allows_and_nothing_else() {
        assert_eq!(
            store_name("g++_12.2.0-3_amd64.deb"),
            "g___12.2.0-3_amd64.deb"
        );
        assert_eq!(store_name("a_1%3a2~bpo12+1:x.deb"), "a_1_3a2_bpo12_1_x.deb");
        assert_eq!(store_name(".hidden"), "_hidden");
        assert_eq!(store_name(&"x".repeat(300)).len(), MAX_NAME);
        for name in ["g___12.2.0-3_amd64.deb", "a?b=c"] {
            assert!(is_store_name(name) && store_name(name) == name);
        }
        for name in ["", ".a", "a+b", "a~b", "a b", "a/b", "ä"] {
            assert!(!is_store_name(name), "{name}");
        }
    }
}

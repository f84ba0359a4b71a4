// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hashes of Nix archives (NAR): how Nix sees a file tree, without owners, times and modes other than "executable".
//!
//! The format is in Nix's manual under "Nix Archive (NAR) format".

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// The SHA-256 of the Nix archive of a file, directory or symbolic link, in lower-case hexadecimal.
///
/// # Errors
/// Those of reading it; devices, sockets and the like are refused.
pub fn nar_sha256(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    text(&mut hash, b"nix-archive-1")?;
    node(&mut hash, path)?;
    Ok(format!("{:x}", hash.finalize()))
}

/// A string: length, bytes, zeros up to a multiple of eight.
fn text(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    out.write_all(bytes)?;
    pad(out, bytes.len() as u64)
}

fn pad(out: &mut impl Write, length: u64) -> io::Result<()> {
    let count = length.next_multiple_of(8) - length;
    io::copy(&mut io::repeat(0).take(count), out).map(drop)
}

fn node(out: &mut impl Write, path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    text(out, b"(")?;
    text(out, b"type")?;
    if metadata.is_symlink() {
        text(out, b"symlink")?;
        text(out, b"target")?;
        text(out, fs::read_link(path)?.as_os_str().as_bytes())?;
    } else if metadata.is_dir() {
        text(out, b"directory")?;
        let mut names = fs::read_dir(path)?
            .map(|e| e.map(|e| e.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            text(out, b"entry")?;
            text(out, b"(")?;
            text(out, b"name")?;
            text(out, name.as_bytes())?;
            text(out, b"node")?;
            node(out, &path.join(&name))?;
            text(out, b")")?;
        }
    } else if metadata.is_file() {
        text(out, b"regular")?;
        if metadata.permissions().mode() & 0o100 != 0 {
            text(out, b"executable")?;
            text(out, b"")?;
        }
        text(out, b"contents")?;
        out.write_all(&metadata.len().to_le_bytes())?;
        let copied = io::copy(&mut File::open(path)?.take(metadata.len()), out)?;
        if copied != metadata.len() {
            return Err(io::Error::other(format!(
                "{} changed while it was read",
                path.display()
            )));
        }
        pad(out, copied)?;
    } else {
        return Err(io::Error::other(format!(
            "{} is neither file, directory nor symbolic link",
            path.display()
        )));
    }
    text(out, b")")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected hashes are what `nix-hash --type sha256 PATH` (Nix 2.8) prints.
    #[test]
    fn hashes_are_those_that_nix_computes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tree");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            nar_sha256(&root).unwrap(),
            "5a30e1ec1b348fb8619ba24ee7ddc8c31eb36aec242db938a205fe47cc498444"
        );
        fs::write(root.join("B"), "12345678").unwrap();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/empty"), "").unwrap();
        std::os::unix::fs::symlink("../B", root.join("a/link")).unwrap();
        assert_eq!(
            nar_sha256(&root).unwrap(),
            "5101631e36bd68dc14ad3b0da20155c4def8309d15d6ca7d7fa59cae822d82e8"
        );
    }

    #[test]
    fn only_the_executable_bit_of_the_mode_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "x").unwrap();
        let hash = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            nar_sha256(&path).unwrap()
        };
        assert_eq!(hash(0o644), hash(0o600));
        assert_eq!(hash(0o755), hash(0o700));
        assert_ne!(hash(0o644), hash(0o755));
    }
}

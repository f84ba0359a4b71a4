// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who can have written what is in a directory: what is built from a checkout is executed, and without git nobody else
//! asks.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What is never read to build from a checkout: cargo's output.
const NOT_READ: &str = "target";

/// Whether somebody besides us and root can have written something in `dir` or below it, or this cannot be excluded.
/// A group may not write either: who is in it changes.
pub(crate) fn is_foreign(dir: &Path) -> bool {
    let us = rustix::process::geteuid().as_raw();
    !is_trusted(dir, us, Some(NOT_READ)).unwrap_or(false)
}

fn is_trusted(path: &Path, us: u32, but: Option<&str>) -> io::Result<bool> {
    let meta = path.symlink_metadata()?;
    // The mode of a symbolic link says nothing. Where it leads is not looked at: Nix does not follow it.
    let is_written_by_us = meta.is_symlink() || meta.mode() & 0o022 == 0;
    if ![0, us].contains(&meta.uid()) || !is_written_by_us {
        return Ok(false);
    }
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if but.is_none_or(|but| entry.file_name() != but)
                && !is_trusted(&entry.path(), us, None)?
            {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    #[test]
    fn what_others_may_have_written_is_no_checkout_of_ours() {
        let scratch = tempfile::tempdir().expect("a directory");
        let dir = scratch.path();
        fs::create_dir_all(dir.join("crates/one")).expect("created");
        fs::create_dir(dir.join("target")).expect("created");
        fs::write(dir.join("flake.nix"), "{ }").expect("written");
        symlink("/nonexistent", dir.join("link")).expect("made");
        assert!(!is_foreign(dir));
        let names = ["", "flake.nix", "crates", "crates/one"];
        for name in names {
            let path = dir.join(name);
            let mode = path.metadata().expect("there").permissions();
            for others in [0o1777, 0o775] {
                fs::set_permissions(&path, fs::Permissions::from_mode(others)).expect("changed");
                assert!(is_foreign(dir), "{name:?} {others:o}");
            }
            fs::set_permissions(&path, mode).expect("changed");
        }
        let target = dir.join("target");
        fs::set_permissions(&target, fs::Permissions::from_mode(0o777)).expect("changed");
        assert!(!is_foreign(dir), "what cargo makes is not read");
        if rustix::process::geteuid().is_root() {
            for name in names {
                let path = dir.join(name);
                chown(&path, Some(65534), None).expect("changed");
                assert!(is_foreign(dir), "{name:?}");
                chown(&path, Some(0), None).expect("changed");
            }
        }
        assert!(is_foreign(Path::new("/nonexistent")));
    }
}

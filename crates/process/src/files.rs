// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that are replaced as a whole or not at all, or removed, and programs that are written to be executed.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a file so that others see the old contents or the new ones, never a mixture.
///
/// # Errors
/// Those of the file system. The old contents are then unchanged.
pub fn write_atomically(path: &Path, contents: &[u8]) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(contents)?;
    // Temporary files are private; this one takes the place of an ordinary one.
    let mode = fs::metadata(path).map(|m| m.permissions());
    let mode = mode.unwrap_or(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Removes what a process that is gone has left, a file or a directory with all that is below. What cannot be removed
/// (another user's, a mount) is in nobody's way: it is named in a warning and stays.
pub fn sweep(path: &Path) {
    let result = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(
                "{} is of no use any more and cannot be removed: {error}",
                path.display()
            );
        }
        _ => {}
    }
}

/// Makes a program of `text` that can be executed at once, however many threads start others meanwhile.
///
/// Another process writes it: a child that is started while this one has it open for writing inherits the
/// descriptor until it executes something itself, and a file that is open for writing cannot be executed
/// (ETXTBSY). For stand-ins in tests.
///
/// # Errors
/// When the file cannot be written.
pub fn write_program(path: &Path, text: &str) -> io::Result<()> {
    let mut shell = Command::new("sh")
        .args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = shell.stdin.take() {
        stdin.write_all(text.as_bytes())?;
    }
    if !shell.wait()?.success() {
        return Err(io::Error::other("the shell could not write it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_failed_write_leaves_the_old_contents() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock.json");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(write_atomically(&dir.path().join("absent/lock.json"), b"x").is_err());
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "temporary files are removed"
        );
    }

    /// Does something as one whom the modes of files bind, as they do not bind root.
    fn without_rights(does: impl FnOnce()) {
        use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
        let all = capabilities(None).unwrap();
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            ..all
        };
        set_capabilities(None, none).unwrap();
        does();
        set_capabilities(None, all).unwrap();
    }

    #[test]
    fn what_is_left_is_swept_away_and_stays_where_it_cannot_be() {
        let dir = tempfile::tempdir().unwrap();
        let (left, file) = (dir.path().join("left"), dir.path().join("file"));
        fs::create_dir_all(left.join("below")).unwrap();
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("link")).unwrap();
        let mode = |bits| fs::Permissions::from_mode(bits);
        fs::set_permissions(&left, mode(0o500)).unwrap();
        without_rights(|| sweep(&left));
        assert!(left.join("below").exists());
        fs::set_permissions(&left, mode(0o700)).unwrap();
        for name in ["left", "file", "link", "absent"] {
            sweep(&dir.path().join(name));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_program_can_be_executed_at_once_while_others_are_started() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let path = dir.path().join(format!("program{thread}"));
                scope.spawn(move || {
                    for round in 0..10 {
                        write_program(&path, &format!("#!/bin/sh\nexit {round}\n")).unwrap();
                        let status = Command::new(&path).status().unwrap();
                        assert_eq!(status.code(), Some(round));
                    }
                });
            }
        });
    }
}

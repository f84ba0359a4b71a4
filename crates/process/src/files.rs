// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that are replaced as a whole or not at all, and programs that are written to be executed.

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

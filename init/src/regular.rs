// SPDX-License-Identifier: MIT OR Apache-2.0

//! Regular files of a container's, which its programs may exchange for something else at any time.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file for reading, without waiting: for a pipe, open(2) would wait for a writer, and the session with it.
///
/// # Errors
/// What the kernel says; `InvalidInput` for what is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    // Of what was opened, not of what has the name by now.
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        let what = "it is no regular file";
        Err(io::Error::new(ErrorKind::InvalidInput, what))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn a_pipe_is_refused_without_waiting_for_a_writer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        let error = open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "#!").unwrap();
        let mut text = String::new();
        open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "#!");
    }
}

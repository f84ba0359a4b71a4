// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file that the user says is an image, looked at before a machine is started for it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use cki_erofs::{Disk, START};

/// Why a file is no image.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the image {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is something else.
    #[error(
        "{0} is no image that `cki-build image app` writes; images of podman or docker are run with --oci"
    )]
    Foreign(PathBuf),
    /// It ends early.
    #[error("the image {path} is truncated: {actual} bytes of {expected}; write it again")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        actual: u64,
    },
}

/// Refuses a file that is no complete image.
///
/// # Errors
/// [`FileError`].
pub fn check(path: &Path) -> Result<(), FileError> {
    let read = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    if !path.metadata().map_err(read)?.is_file() {
        return Err(FileError::Foreign(path.to_owned()));
    }
    let mut file = File::open(path).map_err(read)?;
    let actual = file.seek(SeekFrom::End(0)).map_err(read)?;
    let mut start = Vec::new();
    let all = file
        .rewind()
        .and_then(|()| file.take(START as u64).read_to_end(&mut start));
    all.map_err(read)?;
    let disk = Disk::parse(&start).ok_or_else(|| FileError::Foreign(path.to_owned()))?;
    let expected = disk.size();
    if actual < expected {
        return Err(FileError::Truncated {
            path: path.to_owned(),
            expected,
            actual,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_images_are_refused_with_a_remedy() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("app.img");
        let refused = |path: &Path| check(path).expect_err("refused").to_string();
        assert!(refused(&file).contains("cannot read the image"));
        assert!(refused(dir.path()).contains("--oci"));
        std::fs::write(&file, "text").expect("written");
        assert!(refused(&file).contains("--oci"));
        let mut image = vec![0; 8192];
        image[512..520].copy_from_slice(b"EFI PART");
        image[544] = 15;
        std::fs::write(&file, &image).expect("written");
        check(&file).expect("an image");
        std::fs::write(&file, &image[..8000]).expect("written");
        assert!(refused(&file).contains("8000 bytes of 8192"));
    }
}

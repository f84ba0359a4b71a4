// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writing images out of the store: atomically, sparsely, and never over something else than a file.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Blocks of zeros of this size become holes (the block size of usual file systems).
const BLOCK: usize = 4096;

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The name is taken by something that is no file.
    #[error("{0} is a directory; name the file to write")]
    Directory(PathBuf),
    /// The name is taken by a device, a pipe or the like.
    #[error("{0} is not an ordinary file, and is not overwritten")]
    NotAFile(PathBuf),
    /// The directory is not there.
    #[error("there is no directory {0}")]
    NoDirectory(PathBuf),
    /// The disk is full.
    #[error("the disk is full: {path} needs {needed}; nothing was written")]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// Its size, as a person reads it.
        needed: String,
    },
    /// Anything else.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Refuses early what [`fn@write`] would refuse late, after a long build.
///
/// # Errors
/// [`ImageError`].
pub fn check_target(to: &Path) -> Result<(), ImageError> {
    match to.metadata() {
        Ok(meta) if meta.is_dir() => return Err(ImageError::Directory(to.to_owned())),
        Ok(meta) if !meta.is_file() => return Err(ImageError::NotAFile(to.to_owned())),
        _ => {}
    }
    let dir = directory(to);
    if to.file_name().is_none() {
        return Err(ImageError::Directory(to.to_owned()));
    }
    if dir.is_dir() {
        Ok(())
    } else {
        Err(ImageError::NoDirectory(dir.to_owned()))
    }
}

/// Copies the files `from`, one after the other, to `to`, which then exists completely or, when this fails, is as it
/// was. Gives the size in bytes.
///
/// # Errors
/// [`ImageError`].
pub fn write(from: &[PathBuf], to: &Path) -> Result<u64, ImageError> {
    check_target(to)?;
    let io = |source: io::Error| {
        if source.kind() == io::ErrorKind::StorageFull {
            ImageError::DiskFull {
                path: to.to_owned(),
                needed: cki_process::units::human_bytes(
                    from.iter()
                        .filter_map(|from| Some(from.metadata().ok()?.len()))
                        .sum(),
                ),
            }
        } else {
            ImageError::Io {
                path: to.to_owned(),
                source,
            }
        }
    };
    // In the same directory, as a rename cannot cross file systems.
    let mut file = tempfile::NamedTempFile::new_in(directory(to)).map_err(io)?;
    let mut size = 0;
    for from in from {
        let source = File::open(from).map_err(|source| ImageError::Io {
            path: from.to_owned(),
            source,
        })?;
        size += copy_sparse(source, file.as_file_mut()).map_err(io)?;
    }
    // Temporary files are private; this one is as readable as the user wants new files to be.
    let mode = 0o666 & !umask().map_err(io)?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(mode))
        .map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    // A link is followed: what it names is replaced.
    let target = to.canonicalize().unwrap_or_else(|_| to.to_owned());
    match file.persist(&target) {
        Ok(_) => Ok(size),
        Err(error) => Err(io(error.error)),
    }
}

/// Mode bits that new files of ours do not get. umask(2) tells them only to who sets them, for all threads.
fn umask() -> io::Result<u32> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let bits = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let bits = bits.and_then(|bits| u32::from_str_radix(bits.trim(), 8).ok());
    bits.ok_or_else(|| io::Error::other("/proc/self/status has no Umask"))
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}

fn copy_sparse(mut from: File, to: &mut File) -> io::Result<u64> {
    let mut buffer = vec![0; 256 * BLOCK];
    let mut size = 0;
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for block in buffer[..n].chunks(BLOCK) {
            if block.iter().all(|&byte| byte == 0) {
                to.seek(SeekFrom::Current(block.len() as i64))?;
            } else {
                to.write_all(block)?;
            }
        }
        size += n as u64;
    }
    // A hole at the end is only there once the length says so.
    let end = to.stream_position()?;
    to.set_len(end)?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn the_copy_is_equal_and_has_holes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let mut bytes = vec![0_u8; 8 << 20];
        bytes[5 << 20] = 1;
        std::fs::write(&from, &bytes).expect("written");
        assert_eq!(
            write(std::slice::from_ref(&from), &to).expect("copied"),
            8 << 20
        );
        assert!(std::fs::read(&to).expect("read") == bytes);
        let mode = |path: &Path| path.metadata().expect("there").mode();
        assert_eq!(mode(&to), mode(&from), "as any new file");
        let blocks = to.metadata().expect("there").blocks();
        assert!(blocks * 512 < 1 << 20, "{blocks} blocks");
    }

    #[test]
    fn several_files_are_written_one_after_the_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let (zeros, x, to) = (
            dir.path().join("0"),
            dir.path().join("x"),
            dir.path().join("to"),
        );
        std::fs::write(&zeros, vec![0; 2 * BLOCK]).expect("written");
        std::fs::write(&x, "x").expect("written");
        let size = write(&[zeros.clone(), x, zeros], &to).expect("written");
        let expected = [vec![0; 2 * BLOCK], vec![b'x'], vec![0; 2 * BLOCK]].concat();
        assert_eq!(size, expected.len() as u64);
        assert!(std::fs::read(&to).expect("read") == expected);
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, "new").expect("written");
        std::fs::write(&to, "old and longer").expect("written");
        write(std::slice::from_ref(&from), &to).expect("copied");
        assert_eq!(std::fs::read(&to).expect("read"), b"new");
        assert!(matches!(
            write(std::slice::from_ref(&from), dir.path()),
            Err(ImageError::Directory(_))
        ));
        assert!(matches!(
            write(std::slice::from_ref(&from), Path::new("/dev/null")),
            Err(ImageError::NotAFile(_))
        ));
        assert!(matches!(
            write(std::slice::from_ref(&from), &dir.path().join("no/x")),
            Err(ImageError::NoDirectory(_))
        ));
        assert_eq!(
            std::fs::read_dir(dir.path()).expect("read").count(),
            2,
            "nothing is left over"
        );
    }

    #[test]
    fn a_failed_copy_leaves_the_old_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().join("to");
        std::fs::write(&to, "old").expect("written");
        assert!(write(&[dir.path().join("missing")], &to).is_err());
        assert_eq!(std::fs::read(&to).expect("read"), b"old");
    }

    #[test]
    fn a_full_disk_is_called_that() {
        // /dev/full cannot be the target of a rename, so the writing part is asked alone.
        let mut full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("opened");
        let dir = tempfile::tempdir().expect("a directory");
        let from = dir.path().join("from");
        std::fs::write(&from, "x").expect("written");
        let error = copy_sparse(File::open(&from).expect("opened"), &mut full).expect_err("full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

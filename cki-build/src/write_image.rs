// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writing images out of the store: atomically, sparsely, and never over something else than a file.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
use tempfile::NamedTempFile;

/// Blocks of zeros of this size become holes (the block size of usual file systems).
const BLOCK: usize = 4096;

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteImageError {
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
/// [`WriteImageError`].
pub fn check_target(to: &Path) -> Result<(), WriteImageError> {
    match to.metadata() {
        Ok(meta) if meta.is_dir() => return Err(WriteImageError::Directory(to.to_owned())),
        Ok(meta) if !meta.is_file() => return Err(WriteImageError::NotAFile(to.to_owned())),
        _ => {}
    }
    let dir = directory(to);
    if to.file_name().is_none() {
        return Err(WriteImageError::Directory(to.to_owned()));
    }
    if dir.is_dir() {
        Ok(())
    } else {
        Err(WriteImageError::NoDirectory(dir.to_owned()))
    }
}

/// Copies the files `from`, one after the other, to `to`, which then exists completely or, when this fails, is as it
/// was. Gives the size in bytes.
///
/// # Errors
/// [`WriteImageError`].
pub fn write(from: &[PathBuf], to: &Path) -> Result<u64, WriteImageError> {
    check_target(to)?;
    let io = |source: io::Error| {
        if source.kind() == io::ErrorKind::StorageFull {
            WriteImageError::DiskFull {
                path: to.to_owned(),
                needed: cki_wording::units::human_bytes(
                    from.iter()
                        .filter_map(|from| Some(from.metadata().ok()?.len()))
                        .sum(),
                ),
            }
        } else {
            WriteImageError::Io {
                path: to.to_owned(),
                source,
            }
        }
    };
    let mut file = Unfinished::new(directory(to)).map_err(io)?;
    let mut size = 0;
    for from in from {
        let source = File::open(from).map_err(|source| WriteImageError::Io {
            path: from.to_owned(),
            source,
        })?;
        size += copy_sparse(source, file.file()).map_err(io)?;
    }
    file.file().sync_all().map_err(io)?;
    // A link is followed: what it names is replaced.
    let target = to.canonicalize().unwrap_or_else(|_| to.to_owned());
    file.finish(&target).map_err(io)?;
    Ok(size)
}

/// A file that is not complete, in the directory where it is to be: neither names nor renames cross file systems.
enum Unfinished {
    /// Without a name: however we end, nothing is left of it.
    Nameless(File),
    /// Some file systems have no such files.
    Named(NamedTempFile),
}

impl Unfinished {
    /// An empty one, as readable as the user wants new files to be.
    fn new(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = 0o666;
        openat(CWD, directory, flags, Mode::from_raw_mode(mode))
            .map(|file| Self::Nameless(file.into()))
            .or_else(|_| {
                let mut named = tempfile::Builder::new();
                named.permissions(std::fs::Permissions::from_mode(mode));
                named.tempfile_in(directory).map(Self::Named)
            })
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Nameless(file) => file,
            Self::Named(file) => file.as_file_mut(),
        }
    }

    /// Calls it `target`, which is replaced.
    fn finish(self, target: &Path) -> io::Result<()> {
        let file = match self {
            Self::Nameless(file) => file,
            Self::Named(file) => return Ok(file.persist(target).map(drop)?),
        };
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        let call_it = |name: &Path| {
            let linked = linkat(CWD, &*open, CWD, name, AtFlags::SYMLINK_FOLLOW);
            linked.map_err(io::Error::from)
        };
        match call_it(target) {
            // No link replaces a name, but a rename does. Between the two, there is a file more for a moment.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let named = tempfile::Builder::new().make_in(directory(target), call_it)?;
                Ok(named.persist(target).map(drop)?)
            }
            result => result,
        }
    }
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
            Err(WriteImageError::Directory(_))
        ));
        assert!(matches!(
            write(std::slice::from_ref(&from), Path::new("/dev/null")),
            Err(WriteImageError::NotAFile(_))
        ));
        assert!(matches!(
            write(std::slice::from_ref(&from), &dir.path().join("no/x")),
            Err(WriteImageError::NoDirectory(_))
        ));
        assert_eq!(
            std::fs::read_dir(dir.path()).expect("read").count(),
            2,
            "nothing is left over"
        );
    }

    /// Whoever kills us then, nothing is left.
    #[test]
    fn a_copy_that_is_not_complete_has_no_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        rustix::fs::mkfifoat(CWD, &from, Mode::RWXU).expect("a pipe");
        for round in 1..3 {
            let names = || std::fs::read_dir(dir.path()).expect("read").count();
            let there = names();
            let (source, target) = (from.clone(), to.clone());
            let copying = std::thread::spawn(move || write(&[source], &target));
            // The other side opens it when it copies.
            let mut source = File::options().write(true).open(&from).expect("opened");
            source
                .write_all(&[round; 1 << 20])
                .expect("some of it is taken");
            assert_eq!(names(), there, "round {round}");
            drop(source);
            assert_eq!(copying.join().expect("no panic").expect("copied"), 1 << 20);
            assert!(std::fs::read(&to).expect("read") == vec![round; 1 << 20]);
            assert_eq!(names(), 2);
        }
    }

    #[test]
    fn where_files_must_have_names_they_are_written_all_the_same() {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().join("to");
        for text in ["one", "two"] {
            let named = tempfile::Builder::new().tempfile_in(dir.path());
            let mut file = Unfinished::Named(named.expect("a file"));
            file.file().write_all(text.as_bytes()).expect("written");
            file.finish(&to).expect("named");
            assert_eq!(std::fs::read(&to).expect("read"), text.as_bytes());
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 1);
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

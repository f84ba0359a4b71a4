// SPDX-License-Identifier: MIT OR Apache-2.0

//! Taking one program out of a .deb file (deb(5)): an `ar` archive with a compressed tar archive in it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use liblzma::read::XzDecoder;

/// Why a program could not be taken out of a package.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The package cannot be read, or is not one.
    #[error("cannot unpack {package}: {cause}")]
    Read {
        /// The .deb file.
        package: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// The part with the files is compressed in a way that we do not read (Debian 12 uses xz).
    #[error(
        "cannot unpack {package}: its files are in '{member}'; only data.tar and data.tar.xz are known"
    )]
    Compression {
        /// The .deb file.
        package: PathBuf,
        /// The archive member.
        member: String,
    },
    /// The package does not have that file.
    #[error("{package} has no regular file '{file}'")]
    Absent {
        /// The .deb file.
        package: PathBuf,
        /// The file's path in it.
        file: String,
    },
    /// The program cannot be written.
    #[error("cannot write {path}: {cause}")]
    Write {
        /// Where to.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
}

/// Writes the file `file` (a path without a slash at the beginning) of the package to `target` and makes it executable.
///
/// # Errors
/// See [`DebError`].
pub fn extract_program(package: &Path, file: &str, target: &Path) -> Result<(), DebError> {
    let read = |cause| DebError::Read {
        package: package.into(),
        cause,
    };
    let mut archive = ar::Archive::new(File::open(package).map_err(read)?);
    while let Some(entry) = archive.next_entry() {
        let entry = entry.map_err(read)?;
        let member = String::from_utf8_lossy(entry.header().identifier()).into_owned();
        match member.as_str() {
            "data.tar" => return from_tar(entry, package, file, target),
            "data.tar.xz" => return from_tar(XzDecoder::new(entry), package, file, target),
            other if other.starts_with("data.tar") => {
                return Err(DebError::Compression {
                    package: package.into(),
                    member,
                });
            }
            _ => {}
        }
    }
    Err(read(io::Error::new(
        io::ErrorKind::InvalidData,
        "there is no data.tar in it",
    )))
}

fn from_tar(input: impl Read, package: &Path, file: &str, target: &Path) -> Result<(), DebError> {
    let read = |cause| DebError::Read {
        package: package.into(),
        cause,
    };
    let write = |cause| DebError::Write {
        path: target.into(),
        cause,
    };
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries().map_err(read)? {
        let mut entry = entry.map_err(read)?;
        let path = entry.path().map_err(read)?;
        if path.strip_prefix("./").unwrap_or(&path) != Path::new(file)
            || !entry.header().entry_type().is_file()
        {
            continue;
        }
        let mut out = File::create(target).map_err(write)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = entry.read(&mut buffer).map_err(read)?;
            if count == 0 {
                return fs::set_permissions(target, fs::Permissions::from_mode(0o755))
                    .map_err(write);
            }
            io::Write::write_all(&mut out, &buffer[..count]).map_err(write)?;
        }
    }
    Err(DebError::Absent {
        package: package.into(),
        file: file.into(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use liblzma::write::XzEncoder;
    use std::io::Write;

    /// A .deb with one file in it, its data member under the name `member`.
    pub(crate) fn deb(member: &str, file: &str, contents: &[u8]) -> Vec<u8> {
        let mut data = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        data.append_data(&mut header, format!("./{file}"), contents)
            .unwrap();
        let mut data = data.into_inner().unwrap();
        if member.ends_with(".xz") {
            let mut encoder = XzEncoder::new(Vec::new(), 1);
            encoder.write_all(&data).unwrap();
            data = encoder.finish().unwrap();
        }
        let mut archive = ar::Builder::new(Vec::new());
        for (name, bytes) in [
            ("debian-binary", b"2.0\n".as_slice()),
            (member, data.as_slice()),
        ] {
            archive
                .append(&ar::Header::new(name.into(), bytes.len() as u64), bytes)
                .unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn extract(package: &[u8], file: &str) -> Result<Vec<u8>, DebError> {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("a.deb"), dir.path().join("program"));
        fs::write(&source, package).unwrap();
        extract_program(&source, file, &target)?;
        assert_eq!(
            fs::metadata(&target).unwrap().permissions().mode() & 0o777,
            0o755
        );
        Ok(fs::read(&target).unwrap())
    }

    #[test]
    fn a_program_is_taken_out_of_xz_and_plain_packages() {
        for member in ["data.tar.xz", "data.tar"] {
            assert_eq!(
                extract(&deb(member, "bin/busybox", b"static"), "bin/busybox").unwrap(),
                b"static"
            );
        }
    }

    #[test]
    fn a_package_without_the_program_or_of_another_kind_is_refused() {
        let package = deb("data.tar.xz", "bin/busybox", &[7; 100_000]);
        assert!(matches!(
            extract(&package, "bin/ash"),
            Err(DebError::Absent { .. })
        ));
        assert!(matches!(
            extract(&package[..package.len() - 50], "bin/busybox"),
            Err(DebError::Read { .. })
        ));
        assert!(matches!(
            extract(b"!<arch>\n", "bin/busybox"),
            Err(DebError::Read { .. })
        ));
        assert!(matches!(
            extract(b"<html>", "bin/busybox"),
            Err(DebError::Read { .. })
        ));
        let zstd = deb("data.tar.zst", "bin/busybox", b"x");
        assert!(matches!(
            extract(&zstd, "bin/busybox"),
            Err(DebError::Compression { .. })
        ));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parts of an image by their names, from a directory or a tar archive, which is not unpacked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::error::OciError;

/// Most entries of an archive: layers, configurations and manifests, not the files in them.
const MOST_PARTS: usize = 10_000;

/// Most links from one part of an archive to the next; Docker's archives have one.
const MOST_LINKS: usize = 8;

/// Where the parts are.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Directory(OwnedFd),
    Archive(BTreeMap<String, Part>),
}

#[derive(Debug)]
enum Part {
    /// Its place in the archive.
    File { at: u64, size: u64 },
    /// The name of another part.
    Link(String),
}

/// A part that is open.
pub struct Open {
    /// Its bytes.
    pub reader: Box<dyn Read>,
    /// How many there are.
    pub size: u64,
}

impl Source {
    /// Opens a directory, or an archive, whose headers are read.
    ///
    /// # Errors
    /// [`OciError`].
    pub fn open(path: &Path) -> Result<Self, OciError> {
        let read = |source| OciError::Read {
            path: path.to_owned(),
            source,
        };
        // Without the flag, a FIFO would be waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT => OciError::Absent(path.to_owned(), transport(path)),
            _ => read(error.into()),
        })?;
        let file = File::from(fd);
        let kind = file.metadata().map_err(read)?.file_type();
        let kind = if kind.is_dir() {
            Kind::Directory(file.into())
        } else if kind.is_file() {
            Kind::Archive(index(path, file)?)
        } else {
            return Err(OciError::Foreign(path.to_owned(), ""));
        };
        Ok(Self {
            path: path.to_owned(),
            kind,
        })
    }

    /// Whether there is such a part.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.part(name).is_ok()
    }

    /// That there is no such part.
    pub(crate) fn missing(&self, part: &str) -> OciError {
        OciError::Missing {
            image: self.path.clone(),
            part: part.to_owned(),
        }
    }

    /// Opens a part.
    ///
    /// # Errors
    /// [`OciError::Missing`], [`OciError::Read`].
    pub fn part(&self, name: &str) -> Result<Open, OciError> {
        let asked = name;
        let missing = || self.missing(asked);
        let read = |source| OciError::Read {
            path: self.path.clone(),
            source,
        };
        match &self.kind {
            Kind::Directory(dir) => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                // No link leads out of the directory.
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                let fd = openat2(dir, name, flags, Mode::empty(), resolve);
                let file = File::from(fd.map_err(|_| missing())?);
                let meta = file.metadata().map_err(read)?;
                if !meta.is_file() {
                    return Err(missing());
                }
                Ok(Open {
                    reader: Box::new(file),
                    size: meta.len(),
                })
            }
            Kind::Archive(parts) => {
                let mut name = name;
                for _ in 0..=MOST_LINKS {
                    match parts.get(name).ok_or_else(missing)? {
                        Part::Link(target) => name = target,
                        Part::File { at, size } => {
                            let mut file = File::open(&self.path).map_err(read)?;
                            file.seek(SeekFrom::Start(*at)).map_err(read)?;
                            return Ok(Open {
                                reader: Box::new(file.take(*size)),
                                size: *size,
                            });
                        }
                    }
                }
                Err(missing())
            }
        }
    }

    /// All of a small part.
    ///
    /// # Errors
    /// [`OciError::TooLarge`] when it has more than `limit` bytes; otherwise those of [`Source::part`].
    pub fn small(&self, name: &str, limit: u64) -> Result<Vec<u8>, OciError> {
        let open = self.part(name)?;
        if open.size > limit {
            return Err(OciError::TooLarge {
                part: name.to_owned(),
                limit: format!("{limit} bytes"),
            });
        }
        let mut bytes = Vec::new();
        let read = open.reader.take(limit).read_to_end(&mut bytes);
        read.map_err(|source| OciError::Read {
            path: self.path.join(name),
            source,
        })?;
        Ok(bytes)
    }
}

/// How podman and skopeo say what kind of file an image is in, which is found out here.
const TRANSPORTS: [&str; 4] = ["docker-archive:", "oci-archive:", "oci:", "dir:"];

/// What to do about a path that begins so; nothing if none does.
fn transport(path: &Path) -> String {
    let text = path.to_string_lossy();
    let found = TRANSPORTS
        .iter()
        .find_map(|kind| Some((kind, text.strip_prefix(kind)?)));
    found.map_or_else(String::new, |(kind, file)| {
        format!("; leave `{kind}` out: `--oci {file}`")
    })
}

/// Where the parts of an archive are.
fn index(path: &Path, mut file: File) -> Result<BTreeMap<String, Part>, OciError> {
    let damaged = |source| OciError::Damaged {
        path: path.to_owned(),
        source,
    };
    let mut start = Vec::new();
    let read = file.by_ref().take(512).read_to_end(&mut start);
    read.and_then(|_| file.rewind()).map_err(damaged)?;
    if start.starts_with(&[0x1f, 0x8b]) {
        let remedy = "; this one is compressed: gunzip it first";
        return Err(OciError::Foreign(path.to_owned(), remedy));
    }
    if start.get(257..262) != Some(b"ustar") {
        return Err(OciError::Foreign(path.to_owned(), ""));
    }
    let length = file.metadata().map_err(damaged)?.len();
    let mut parts = BTreeMap::new();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let Some(name) = std::str::from_utf8(&entry.path_bytes())
            .ok()
            .and_then(plain)
        else {
            continue;
        };
        let kind = entry.header().entry_type();
        let part = if kind.is_file() {
            let (at, size) = (entry.raw_file_position(), entry.size());
            if at.checked_add(size).is_none_or(|end| end > length) {
                return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
            }
            Part::File { at, size }
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default();
            let base = if kind.is_symlink() { &name } else { "" };
            match std::str::from_utf8(&target)
                .ok()
                .and_then(|t| joined(base, t))
            {
                Some(target) => Part::Link(target),
                None => continue,
            }
        } else {
            continue;
        };
        parts.insert(name, part);
        if parts.len() > MOST_PARTS {
            return Err(OciError::TooLarge {
                part: "the archive".to_owned(),
                limit: format!("{MOST_PARTS} entries"),
            });
        }
    }
    Ok(parts)
}

/// A name as parts are named: relative, without `.`; none when it leads out.
fn plain(name: &str) -> Option<String> {
    joined("", name)
}

/// `target` of a link that is called `link`.
fn joined(link: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/")).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_within_the_archive_and_never_out_of_it() {
        assert_eq!(plain("./a//b"), Some("a/b".to_owned()));
        assert_eq!(plain("/etc/passwd"), Some("etc/passwd".to_owned()));
        assert_eq!(plain("../a"), None);
        assert_eq!(plain("a/../.."), None);
        assert_eq!(
            joined("x/layer.tar", "../y/layer.tar"),
            Some("y/layer.tar".to_owned())
        );
        assert_eq!(joined("layer.tar", "../layer.tar"), None);
    }
}

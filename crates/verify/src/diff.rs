// SPDX-License-Identifier: MIT OR Apache-2.0

//! The first difference between two trees.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Where two trees differ, at the first place in the order of names (files before what they would contain).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Path below the two roots; empty when the roots themselves differ.
    pub path: PathBuf,
    /// What differs.
    #[serde(flatten)]
    pub what: What,
}

/// What differs between two files of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "difference", rename_all = "kebab-case")]
pub enum What {
    /// Their bytes, from this offset on (the length of the shorter when it is the other's beginning).
    Content {
        /// Bytes from the start of the file.
        offset: u64,
    },
    /// Only the first tree has it.
    OnlyFirst,
    /// Only the second tree has it.
    OnlySecond,
    /// One is a file, the other a directory or a link.
    Kind,
    /// Only one may be executed: the only bit of the mode that a Nix store keeps.
    Executable,
    /// They are links to different targets.
    Link,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.path == Path::new("") {
            "the output itself".into()
        } else {
            self.path.to_string_lossy()
        };
        match &self.what {
            What::Content { offset } => write!(f, "{path} differs from byte {offset} on"),
            What::OnlyFirst => write!(f, "{path} is in the first build only"),
            What::OnlySecond => write!(f, "{path} is in the second build only"),
            What::Kind => write!(f, "{path} is of another kind (file, directory, link)"),
            What::Executable => write!(f, "{path} is executable in one build only"),
            What::Link => write!(f, "{path} links to another target"),
        }
    }
}

/// The first difference between the trees (or files) `first` and `second`; `None` when they are equal
/// in all that a Nix store keeps.
///
/// # Errors
/// Those of reading the trees.
pub fn first_difference(first: &Path, second: &Path) -> io::Result<Option<Difference>> {
    compare(first, second, Path::new(""))
}

fn compare(first: &Path, second: &Path, below: &Path) -> io::Result<Option<Difference>> {
    let differ = |what| {
        Ok(Some(Difference {
            path: below.to_owned(),
            what,
        }))
    };
    let (a, b) = (fs::symlink_metadata(first)?, fs::symlink_metadata(second)?);
    if a.file_type() != b.file_type() {
        return differ(What::Kind);
    }
    if a.is_symlink() {
        let same = fs::read_link(first)? == fs::read_link(second)?;
        return if same { Ok(None) } else { differ(What::Link) };
    }
    if a.is_file() {
        let executable = |meta: &fs::Metadata| meta.permissions().mode() & 0o100 != 0;
        if executable(&a) != executable(&b) {
            return differ(What::Executable);
        }
        return match first_byte(first, second)? {
            Some(offset) => differ(What::Content { offset }),
            None => Ok(None),
        };
    }
    let (mut ours, mut theirs) = (names(first)?.peekable(), names(second)?.peekable());
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (None, None) => return Ok(None),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.as_bytes().cmp(b.as_bytes()),
        };
        let only = |name: Option<std::ffi::OsString>, what| {
            Ok(name.map(|name| Difference {
                path: below.join(name),
                what,
            }))
        };
        match order {
            std::cmp::Ordering::Less => return only(ours.next(), What::OnlyFirst),
            std::cmp::Ordering::Greater => return only(theirs.next(), What::OnlySecond),
            std::cmp::Ordering::Equal => {
                theirs.next();
                let Some(name) = ours.next() else {
                    return Ok(None);
                };
                let found = compare(&first.join(&name), &second.join(&name), &below.join(&name))?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
    }
}

fn names(dir: &Path) -> io::Result<impl Iterator<Item = std::ffi::OsString>> {
    let mut names = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(names.into_iter())
}

/// Offset of the first byte in which two files differ.
fn first_byte(first: &Path, second: &Path) -> io::Result<Option<u64>> {
    const SIZE: usize = 1 << 16;
    let open = |path| io::Result::Ok(BufReader::with_capacity(SIZE, File::open(path)?));
    let (mut a, mut b) = (open(first)?, open(second)?);
    let (mut x, mut y) = (vec![0; SIZE], vec![0; SIZE]);
    let mut offset = 0;
    loop {
        let n = fill(&mut a, &mut x)?;
        let m = fill(&mut b, &mut y)?;
        let common = n.min(m);
        if let Some(at) = (0..common).find(|&i| x[i] != y[i]) {
            return Ok(Some(offset + at as u64));
        }
        if n != m {
            return Ok(Some(offset + common as u64));
        }
        if n == 0 {
            return Ok(None);
        }
        offset += n as u64;
    }
}

/// Reads until `buffer` is full or the file ends.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two trees with equal content, to be changed.
    fn trees() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let make = |name: &str| {
            let root = dir.path().join(name);
            fs::create_dir_all(root.join("lib/modules")).expect("created");
            fs::write(root.join("boot.json"), "{}").expect("written");
            fs::write(root.join("vmlinux"), vec![7_u8; 200_000]).expect("written");
            fs::write(root.join("lib/modules/a.ko"), "module").expect("written");
            std::os::unix::fs::symlink("vmlinux", root.join("kernel")).expect("linked");
            root
        };
        let (a, b) = (make("a"), make("b"));
        (dir, a, b)
    }

    fn found(a: &Path, b: &Path) -> Option<(String, What)> {
        first_difference(a, b)
            .expect("readable")
            .map(|d| (d.path.to_string_lossy().into_owned(), d.what))
    }

    #[test]
    fn equal_trees_do_not_differ_whatever_their_times() {
        let (_keep, a, b) = trees();
        let file = File::options()
            .write(true)
            .open(b.join("boot.json"))
            .expect("opened");
        file.set_modified(std::time::UNIX_EPOCH).expect("set");
        assert_eq!(found(&a, &b), None);
    }

    #[test]
    fn the_first_differing_byte_is_named_in_the_first_differing_file() {
        let (_keep, a, b) = trees();
        let mut bytes = vec![7_u8; 200_000];
        bytes[131_073] = 8;
        bytes[150_000] = 8;
        fs::write(b.join("vmlinux"), bytes).expect("written");
        assert_eq!(
            found(&a, &b),
            Some(("vmlinux".into(), What::Content { offset: 131_073 }))
        );
        fs::write(b.join("lib/modules/a.ko"), "modulE").expect("written");
        assert_eq!(
            found(&a, &b),
            Some(("lib/modules/a.ko".into(), What::Content { offset: 5 }))
        );
    }

    #[test]
    fn a_longer_file_differs_where_the_shorter_ends() {
        let (_keep, a, b) = trees();
        fs::write(b.join("boot.json"), "{} ").expect("written");
        assert_eq!(
            found(&a, &b),
            Some(("boot.json".into(), What::Content { offset: 2 }))
        );
    }

    #[test]
    fn a_file_in_one_tree_only_is_named() {
        let (_keep, a, b) = trees();
        fs::write(b.join("lib/extra"), "").expect("written");
        assert_eq!(found(&a, &b), Some(("lib/extra".into(), What::OnlySecond)));
        assert_eq!(found(&b, &a), Some(("lib/extra".into(), What::OnlyFirst)));
    }

    #[test]
    fn kinds_links_and_execute_bits_count() {
        let (_keep, a, b) = trees();
        fs::set_permissions(b.join("boot.json"), fs::Permissions::from_mode(0o755)).expect("set");
        assert_eq!(found(&a, &b), Some(("boot.json".into(), What::Executable)));

        let (_keep, a, b) = trees();
        fs::remove_file(b.join("kernel")).expect("removed");
        std::os::unix::fs::symlink("bzImage", b.join("kernel")).expect("linked");
        assert_eq!(found(&a, &b), Some(("kernel".into(), What::Link)));
        fs::remove_file(b.join("kernel")).expect("removed");
        fs::create_dir(b.join("kernel")).expect("created");
        assert_eq!(found(&a, &b), Some(("kernel".into(), What::Kind)));
    }

    #[test]
    fn outputs_that_are_single_files_are_compared_too() {
        let (_keep, a, b) = trees();
        assert_eq!(found(&a.join("boot.json"), &b.join("boot.json")), None);
        let (path, what) = found(&a.join("boot.json"), &b.join("vmlinux")).expect("different");
        assert_eq!((path.as_str(), what), ("", What::Content { offset: 0 }));
    }
}

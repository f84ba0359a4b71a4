// SPDX-License-Identifier: MIT OR Apache-2.0

//! A layer of paths of the Nix store: a root file system with what a path needs, and nothing else.
//!
//! Contents of a store path never change, and its hash in Nix's database is that of its contents, so a layer is kept
//! by the names and hashes of its paths.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cki_erofs::write::{Attributes, WriteError, Writer};
use sha2::{Digest as _, Sha256};

/// Part of the name under which a layer is kept; another one when the same paths would be written differently.
const FORMAT: u32 = 1;

/// What names of these layers begin with.
const PREFIX: &str = "closure";

/// Directories that programs take for granted, with their permissions; `images/closure/make-image.sh` makes all but
/// `var/tmp` for containers of NixOS.
const DIRECTORIES: [(&str, u16); 15] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("nix", 0o755),
    ("nix/store", 0o755),
    ("proc", 0o755),
    ("root", 0o755),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

/// Files that programs take for granted.
const FILES: [(&str, &str); 3] = [
    (
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/nsswitch.conf", "hosts: files dns\n"),
];

/// Why store paths make no layer.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// A file of a store path cannot be read.
    #[error("cannot read {path}: {source}; was it collected as garbage meanwhile?")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What no store path has.
    #[error("{0} is no file, directory or symbolic link, which is all that a store path has")]
    Odd(PathBuf),
    /// Nix names something that is no absolute path.
    #[error("{0} is no store path")]
    Path(PathBuf),
    /// The layer cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The layer.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The paths do not go together in one file system.
    #[error("cannot make a file system of {path}: {problem}")]
    Tree {
        /// The path.
        path: PathBuf,
        /// Why.
        problem: String,
    },
}

/// A store path, as Nix's database has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StorePath {
    /// Where it is.
    pub path: PathBuf,
    /// Hash of its contents.
    pub hash: String,
}

/// The file system of `paths` below `dir`, where `/bin` and `/usr/bin` are the programs of the path `programs`. It is
/// made when it is not there; `on_path` is told the number of each path before it is read.
///
/// # Errors
/// [`ClosureError`]; then nothing is left.
pub fn provide(
    paths: &[StorePath],
    programs: &Path,
    dir: &Path,
    on_path: &dyn Fn(usize),
) -> Result<PathBuf, ClosureError> {
    let mut paths = paths.to_vec();
    paths.sort();
    let path = dir.join(format!("{FORMAT}-{PREFIX}-{}.erofs", key(&paths, programs)));
    let write = |source| ClosureError::Write {
        path: path.clone(),
        source,
    };
    if let Ok(file) = File::options().write(true).open(&path) {
        // When it was last used; `cki-build prune` asks.
        file.set_modified(SystemTime::now()).map_err(write)?;
        return Ok(path);
    }
    fs::create_dir_all(dir).map_err(write)?;
    let file = tempfile::NamedTempFile::new_in(dir).map_err(write)?;
    let out = file.as_file().try_clone().map_err(write)?;
    let image = Image { file: &path };
    image.write(&paths, programs, out, on_path)?;
    file.as_file().sync_data().map_err(write)?;
    file.persist(&path).map_err(|error| write(error.error))?;
    Ok(path)
}

fn key(paths: &[StorePath], programs: &Path) -> String {
    let mut digest = Sha256::new();
    digest.update(programs.as_os_str().as_bytes());
    for StorePath { path, hash } in paths {
        digest.update(format!("\n{} {hash}", path.display()));
    }
    format!("{:x}", digest.finalize())
}

/// A layer on its way.
struct Image<'a> {
    file: &'a Path,
}

type Out = Writer<BufWriter<File>>;

impl Image<'_> {
    fn failed(&self, path: &Path, error: WriteError) -> ClosureError {
        let path = path.to_owned();
        match error {
            WriteError::Input(source) => ClosureError::Read { path, source },
            WriteError::Output(source) => ClosureError::Write {
                path: self.file.to_owned(),
                source,
            },
            WriteError::Tree(_) | WriteError::TooLarge => ClosureError::Tree {
                path,
                problem: error.to_string(),
            },
        }
    }

    fn write(
        &self,
        paths: &[StorePath],
        programs: &Path,
        out: File,
        on_path: &dyn Fn(usize),
    ) -> Result<(), ClosureError> {
        let whole = |error| self.failed(self.file, error);
        let mut writer = Writer::new(BufWriter::with_capacity(1 << 18, out)).map_err(whole)?;
        for (name, permissions) in DIRECTORIES {
            let attributes = Attributes::of_root(permissions);
            let done = writer.tree().directory(&parts(Path::new(name)), attributes);
            done.map_err(|error| whole(error.into()))?;
        }
        for (name, text) in FILES {
            let parts = parts(Path::new(name));
            let size = text.len() as u64;
            let done = writer.file(
                &parts,
                Attributes::of_root(0o644),
                size,
                &mut text.as_bytes(),
            );
            done.map_err(whole)?;
        }
        let link = |writer: &mut Out, name: &str, target: &Path| {
            let target = target.as_os_str().as_bytes();
            let done = writer.symlink(&parts(Path::new(name)), Attributes::of_root(0o777), target);
            done.map_err(whole)
        };
        link(&mut writer, "var/run", Path::new("/run"))?;
        for (name, below) in [("bin", "bin"), ("usr/bin", "bin"), ("usr/share", "share")] {
            let target = programs.join(below);
            if target.is_dir() {
                link(&mut writer, name, &target)?;
            }
        }
        for (number, path) in paths.iter().enumerate() {
            on_path(number);
            if !path.path.is_absolute() {
                return Err(ClosureError::Path(path.path.clone()));
            }
            self.add(&mut writer, &path.path)?;
        }
        let mut out = writer.finish().map_err(whole)?;
        out.flush()
            .map_err(|error| whole(WriteError::Output(error)))
    }

    /// Adds `path` and what is below it under the same name, in the order of names: the order of a directory's
    /// entries is its file system's own.
    fn add(&self, writer: &mut Out, path: &Path) -> Result<(), ClosureError> {
        let read = |source| ClosureError::Read {
            path: path.to_owned(),
            source,
        };
        let metadata = path.symlink_metadata().map_err(read)?;
        let attributes = Attributes::of_root(permissions(&metadata));
        let parts = parts(path);
        let kind = metadata.file_type();
        if kind.is_dir() {
            let done = writer.tree().directory(&parts, attributes);
            done.map_err(|error| self.failed(path, error.into()))?;
            let entries: io::Result<Vec<_>> = fs::read_dir(path).and_then(Iterator::collect);
            let mut below: Vec<_> = entries
                .map_err(read)?
                .iter()
                .map(fs::DirEntry::path)
                .collect();
            below.sort();
            below.iter().try_for_each(|path| self.add(writer, path))
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(read)?;
            let done = writer.symlink(&parts, attributes, target.as_os_str().as_bytes());
            done.map_err(|error| self.failed(path, error))
        } else if kind.is_file() {
            let mut file = File::open(path).map_err(read)?;
            let done = writer.file(&parts, attributes, metadata.len(), &mut file);
            done.map_err(|error| self.failed(path, error))
        } else {
            Err(ClosureError::Odd(path.to_owned()))
        }
    }
}

/// What the store gives all its files: nobody may write, and root's set-user-ID bits are not there.
fn permissions(metadata: &Metadata) -> u16 {
    (metadata.permissions().mode() & 0o777) as u16
}

/// The names on the way to `path`.
fn parts(path: &Path) -> Vec<&[u8]> {
    let names = path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.as_bytes()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn store() -> (tempfile::TempDir, Vec<StorePath>) {
        let dir = tempfile::tempdir().expect("a directory");
        let (tool, library) = (dir.path().join("aa-tool"), dir.path().join("bb-library"));
        fs::create_dir_all(tool.join("bin")).expect("made");
        fs::write(tool.join("bin/tool"), "#!").expect("written");
        fs::write(&library, vec![7; 5000]).expect("written");
        symlink(&library, tool.join("library")).expect("linked");
        let path = |path: &Path| StorePath {
            path: path.to_owned(),
            hash: "sha256:1".to_owned(),
        };
        let paths = vec![path(&library), path(&tool)];
        (dir, paths)
    }

    #[test]
    fn equal_paths_make_one_layer_and_others_another() {
        let (dir, paths) = store();
        let layers = dir.path().join("layers");
        let programs = &paths[1].path;
        let made = |paths: &[StorePath]| provide(paths, programs, &layers, &|_| {}).expect("made");
        let first = made(&paths);
        let bytes = fs::read(&first).expect("read");
        let reversed: Vec<_> = paths.iter().rev().cloned().collect();
        assert_eq!(made(&reversed), first);
        let mut other = paths.clone();
        other[0].hash = "sha256:2".to_owned();
        let other = made(&other);
        assert_ne!(other, first);
        assert_eq!(fs::read(&other).expect("read"), bytes);
        assert_eq!(bytes.len() % 4096, 0);
        let magic = &bytes[cki_erofs::OFFSET as usize..][..4];
        assert_eq!(magic, cki_erofs::MAGIC.to_le_bytes());
    }

    #[test]
    fn what_no_store_has_is_refused_and_nothing_is_left() {
        let (dir, mut paths) = store();
        let layers = dir.path().join("layers");
        let programs = paths[1].path.clone();
        let refused = |paths: &[StorePath]| {
            let error = provide(paths, &programs, &layers, &|_| {}).expect_err("refused");
            let left = fs::read_dir(&layers).expect("a directory").count();
            assert_eq!(left, 0, "{error}");
            error.to_string()
        };
        let socket = std::os::unix::net::UnixListener::bind(programs.join("socket"));
        assert!(refused(&paths).contains("/socket is no file"));
        drop(socket);
        fs::remove_file(programs.join("socket")).expect("removed");
        paths[0].path = dir.path().join("gone");
        assert!(refused(&paths).contains("collected as garbage"));
        paths[0].path = "gone".into();
        assert!(refused(&paths).contains("no store path"));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! A layer as an EROFS file system, written straight from its archive and kept by its digest.
//!
//! Deletions in a layer (`.wh.NAME`, OCI image specification, "Whiteouts") become what overlayfs takes for them: a
//! character device 0:0, and the attribute `trusted.overlay.opaque` of a directory of which nothing lower is to be
//! seen. Device nodes are kept: a container has a kernel of its own, whose devices are the container's.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cki_erofs::write::{Attributes, Kind, WriteError, Writer};
use flate2::bufread::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

use crate::deletions::Deletions;
use crate::digest::{Hashing, LIMIT};
use crate::error::{OciError, Odd};
use crate::headers::{self, Headers, Place};
use crate::image::LayerRef;
use crate::source::Source;
use crate::zstd::Frames;

/// Part of the name under which a layer is kept; another one when the same layer would be written differently.
const FORMAT: u32 = 2;

/// Most bytes of a layer's archive without compression: 32 GiB.
const MOST_BYTES: u64 = 32 << 30;

/// Most bytes of an entry's name, target and attributes: 1 MiB. The kernel takes 4 KiB of a name and 64 KiB of an
/// attribute.
const MOST_HEADER: u64 = 1 << 20;

/// Most bytes of all names, targets and attributes of a layer, and of what is known of its files, which are held in
/// memory: 1 GiB.
const MOST_HELD: usize = 1 << 30;

/// Bytes that an entry takes beside them, about, and that a file or directory of the image does, of which one entry may
/// make as many as its name has parts.
const ENTRY: usize = 256;
const NODE: usize = 640;

/// Most directories in one another.
const DEEPEST: usize = 256;

/// What deletions are marked by.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What else begins like one is AUFS' own, and of no meaning in an archive.
const AUFS: &[u8] = b".wh..wh.";

/// What pax calls a file with holes; its contents are a list of them and the rest.
const PAX_SPARSE: &str = "GNU.sparse.";

/// What pax calls extended attributes.
const PAX_XATTR: &str = "SCHILY.xattr.";

/// The layer's file system, below `dir`. It is made when it is not there, and `on_start` called before that.
///
/// # Errors
/// [`OciError`]; then nothing is left.
pub fn provide(
    source: &Source,
    layer: &LayerRef,
    dir: &Path,
    on_start: &dyn Fn(),
) -> Result<PathBuf, OciError> {
    let path = dir.join(format!("{FORMAT}-{}.erofs", layer.id));
    if let Ok(file) = File::options().write(true).open(&path) {
        // When it was last used; `cki-build prune` asks.
        if let Err(source) = file.set_modified(SystemTime::now()) {
            return Err(OciError::Write { path, source });
        }
        return Ok(path);
    }
    let write = |source| OciError::Write {
        path: path.clone(),
        source,
    };
    on_start();
    fs::create_dir_all(dir).map_err(write)?;
    let file = tempfile::NamedTempFile::new_in(dir).map_err(write)?;
    let out = file.as_file().try_clone().map_err(write)?;
    let conversion = Conversion {
        layer,
        path: &path,
        most_held: MOST_HELD,
        most_bytes: MOST_BYTES,
    };
    conversion.run(source, out)?;
    file.as_file().sync_data().map_err(write)?;
    file.persist(&path).map_err(|error| write(error.error))?;
    Ok(path)
}

/// One layer on its way.
struct Conversion<'a> {
    layer: &'a LayerRef,
    path: &'a Path,
    /// [`MOST_HELD`], and less in tests.
    most_held: usize,
    /// [`MOST_BYTES`], likewise.
    most_bytes: u64,
}

/// What a layer has taken so far.
#[derive(Default)]
struct Sums {
    /// Bytes of memory, but for those of files and directories as such.
    held: usize,
    /// Bytes of files. One with holes may say that it has more than its layer.
    bytes: u64,
}

impl Conversion<'_> {
    /// That a layer stays within bounds.
    fn check(&self, sums: &Sums, nodes: usize) -> Result<(), OciError> {
        if sums.held + nodes * NODE > self.most_held {
            let mib = self.most_held >> 20;
            return Err(self.too_large(format!("{mib} MiB of names, attributes and directories")));
        }
        if sums.bytes > self.most_bytes {
            return Err(self.too_large(format!("{} GiB", self.most_bytes >> 30)));
        }
        Ok(())
    }

    fn too_large(&self, limit: String) -> OciError {
        OciError::TooLarge {
            part: format!("the layer {}", self.layer.id),
            limit,
        }
    }

    fn damaged(&self, source: io::Error) -> OciError {
        match source.to_string().as_str() {
            LIMIT => return self.too_large(format!("{} GiB", MOST_BYTES >> 30)),
            headers::LIMIT => {
                return self.too_large(format!(
                    "{} MiB for the name of an entry",
                    MOST_HEADER >> 20
                ));
            }
            _ => {}
        }
        OciError::Layer {
            layer: self.layer.id.clone(),
            source,
        }
    }

    fn odd(&self, path: &[u8], why: Odd) -> OciError {
        OciError::Entry {
            layer: self.layer.id.clone(),
            path: shown(path),
            why,
        }
    }

    fn failed(&self, path: &[u8], error: WriteError) -> OciError {
        match error {
            WriteError::Tree(error) => self.odd(path, Odd::Tree(error.to_string())),
            WriteError::Input(error) => self.damaged(error),
            WriteError::Output(source) => OciError::Write {
                path: self.path.to_owned(),
                source,
            },
            WriteError::TooLarge => self.too_large("16 TiB".to_owned()),
        }
    }

    fn run(&self, source: &Source, out: File) -> Result<(), OciError> {
        let part = &self.layer.part;
        let open = source.part(part)?;
        if let Some((_, expected)) = &self.layer.stored {
            if open.size != *expected {
                return Err(OciError::Size {
                    part: part.clone(),
                    expected: *expected,
                    found: open.size,
                });
            }
        }
        let mut stored = Hashing::new(open.reader, u64::MAX);
        let mut buffered = BufReader::with_capacity(1 << 16, &mut stored);
        let start = buffered.fill_buf().map_err(|error| self.damaged(error))?;
        let (gzip, zstd) = (
            start.starts_with(&[0x1f, 0x8b]),
            start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
                || start.starts_with(&[0x50, 0x2a, 0x4d, 0x18]),
        );
        let plain: Box<dyn Read + '_> = if gzip {
            Box::new(MultiGzDecoder::new(&mut buffered))
        } else if zstd {
            Box::new(Frames::new(&mut buffered))
        } else {
            Box::new(&mut buffered)
        };
        let mut hashing = Hashing::new(plain, MOST_BYTES);
        self.convert(&mut hashing, out)?;
        let (id, _) = hashing.finish().map_err(|error| self.damaged(error))?;
        self.compare(part, &self.layer.id, id)?;
        drop(buffered);
        let (digest, _) = stored.finish().map_err(|error| self.damaged(error))?;
        match &self.layer.stored {
            Some((expected, _)) => self.compare(part, expected, digest),
            None => Ok(()),
        }
    }

    fn compare(&self, part: &str, expected: &str, found: String) -> Result<(), OciError> {
        if expected == found {
            return Ok(());
        }
        Err(OciError::Digest {
            part: part.to_owned(),
            expected: format!("sha256:{expected}"),
            found,
        })
    }

    fn convert(&self, from: &mut dyn Read, out: File) -> Result<(), OciError> {
        let whole = |error| self.failed(b"", error);
        let mut writer = Writer::new(BufWriter::with_capacity(1 << 18, out)).map_err(whole)?;
        let mut deletions = Deletions::default();
        // What `tar` reads on the way to the next entry, it holds in memory: names and attributes. The contents of
        // the last one have been read by then.
        let place = Cell::new(Place::Behind);
        let mut archive = Archive::new(Headers::new(from, &place, MOST_HEADER));
        let mut entries = archive.entries().map_err(|error| self.damaged(error))?;
        let mut sums = Sums::default();
        loop {
            place.set(Place::Behind);
            let Some(entry) = entries.next() else { break };
            let mut entry = entry.map_err(|error| self.damaged(error))?;
            place.set(Place::Contents);
            sums.held += ENTRY + held_by(&mut entry).map_err(|error| self.damaged(error))?;
            if entry.header().entry_type() != EntryType::Directory {
                sums.bytes = sums.bytes.saturating_add(entry.size());
            }
            self.check(&sums, writer.tree().count())?;
            self.entry(&mut entry, &mut writer, &mut deletions)?;
            io::copy(&mut entry, &mut io::sink()).map_err(|error| self.damaged(error))?;
        }
        for deletion in deletions.into_paths() {
            let tree = writer.tree();
            self.check(&sums, tree.count())?;
            let done = deletion.apply(tree);
            done.map_err(|error| self.failed(&deletion.path, error.into()))?;
        }
        let mut out = writer.finish().map_err(whole)?;
        io::Write::flush(&mut out).map_err(|error| whole(WriteError::Output(error)))
    }

    fn entry(
        &self,
        entry: &mut Entry<'_, impl Read>,
        writer: &mut Writer<BufWriter<File>>,
        deletions: &mut Deletions,
    ) -> Result<(), OciError> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let name = entry.path_bytes().into_owned();
        let path = parts(&name).map_err(|why| self.odd(&name, why))?;
        if let Some((last, above)) = path.split_last() {
            if *last == OPAQUE {
                deletions.below(above);
                return Ok(());
            }
            if last.starts_with(AUFS) {
                return Ok(());
            }
            if let Some(gone) = last.strip_prefix(WHITEOUT) {
                deletions.name(&[above, &[gone]].concat());
                return Ok(());
            }
        }
        let attributes = attributes(entry).map_err(|error| match error {
            Unfit::Odd(why) => self.odd(&name, why),
            Unfit::Damaged(error) => self.damaged(error),
        })?;
        let number = |number: io::Result<Option<u32>>| match number {
            Ok(number) => Ok(number.unwrap_or(0)),
            Err(_) => Err(self.odd(&name, Odd::Number)),
        };
        let done = match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let size = entry.size();
                writer.file(&path, attributes, size, entry)
            }
            EntryType::Directory => writer
                .tree()
                .directory(&path, attributes)
                .map_err(Into::into),
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                writer.symlink(&path, attributes, &target)
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let to = parts(&target).map_err(|_| self.odd(&name, Odd::Link(shown(&target))))?;
                writer.tree().hard_link(&path, &to).map_err(Into::into)
            }
            EntryType::Char | EntryType::Block => {
                let header = entry.header();
                let major = number(header.device_major())?;
                let minor = number(header.device_minor())?;
                let kind = match kind {
                    EntryType::Char => Kind::CharacterDevice,
                    _ => Kind::BlockDevice,
                };
                if (kind, major, minor) == (Kind::CharacterDevice, 0, 0) {
                    return Err(self.odd(&name, Odd::Deletion));
                }
                if major > 0xfff || minor > 0xf_ffff {
                    return Err(self.odd(&name, Odd::Number));
                }
                let numbers = (major, minor);
                let tree = writer.tree();
                tree.device(&path, attributes, kind, numbers)
                    .map_err(Into::into)
            }
            EntryType::Fifo => {
                let tree = writer.tree();
                tree.device(&path, attributes, Kind::Fifo, (0, 0))
                    .map_err(Into::into)
            }
            other => return Err(self.odd(&name, Odd::Type(char::from(other.as_byte())))),
        };
        done.map_err(|error| self.failed(&name, error))
    }
}

/// Bytes of an entry's name, target and attributes.
fn held_by(entry: &mut Entry<'_, impl Read>) -> io::Result<usize> {
    let target = entry.link_name_bytes().map_or(0, |target| target.len());
    let mut held = entry.path_bytes().len() + target;
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        held += extension.key_bytes().len() + extension.value_bytes().len();
    }
    Ok(held)
}

/// The beginning of a name, for a message.
fn shown(name: &[u8]) -> String {
    const MOST: usize = 256;
    let cut = if name.len() > MOST { "..." } else { "" };
    String::from_utf8_lossy(&name[..name.len().min(MOST)]).into_owned() + cut
}

/// The names on the way to an entry; the root of the image has none. A slash at the beginning is the image's root.
fn parts(name: &[u8]) -> Result<Vec<&[u8]>, Odd> {
    let parts = name.split(|&byte| byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.iter().any(|part| *part == b"..") {
        return Err(Odd::Parent);
    }
    if parts.len() > DEEPEST {
        return Err(Odd::Deep(DEEPEST));
    }
    Ok(parts)
}

enum Unfit {
    Odd(Odd),
    Damaged(io::Error),
}

fn attributes(entry: &mut Entry<'_, impl Read>) -> Result<Attributes, Unfit> {
    let mut xattrs = BTreeMap::new();
    for extension in entry
        .pax_extensions()
        .map_err(Unfit::Damaged)?
        .into_iter()
        .flatten()
    {
        let extension = extension.map_err(Unfit::Damaged)?;
        let key = extension.key().unwrap_or_default();
        if key.starts_with(PAX_SPARSE) {
            return Err(Unfit::Odd(Odd::Sparse));
        }
        if let Some(name) = key.strip_prefix(PAX_XATTR) {
            if name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.") {
                return Err(Unfit::Odd(Odd::Overlay(name.to_owned())));
            }
            xattrs.insert(name.as_bytes().to_vec(), extension.value_bytes().to_vec());
        }
    }
    let header = entry.header();
    let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok());
    let (Some(user), Some(group)) = (id(header.uid()), id(header.gid())) else {
        return Err(Unfit::Odd(Odd::Number));
    };
    Ok(Attributes {
        permissions: (header.mode().map_err(Unfit::Damaged)? & 0o7777) as u16,
        user,
        group,
        modified: header.mtime().unwrap_or(0),
        xattrs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a layer of files with these names and 6 bytes each.
    fn converted(names: &[String], most_held: usize, most_bytes: u64) -> Result<(), OciError> {
        let mut archive = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(6);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            archive
                .append_data(&mut header, name, &b"bytes\n"[..])
                .expect("appended");
        }
        let bytes = archive.into_inner().expect("written");
        let layer = LayerRef {
            part: "layer.tar".to_owned(),
            stored: None,
            id: "id".to_owned(),
        };
        let conversion = Conversion {
            layer: &layer,
            path: Path::new("out"),
            most_held,
            most_bytes,
        };
        conversion.convert(&mut &bytes[..], tempfile::tempfile().expect("a file"))
    }

    #[test]
    fn directories_that_names_bring_along_count() {
        let deep = "/a".repeat(40);
        let names = |last: &str| -> Vec<_> {
            let name = |number| format!("{number}{deep}{last}");
            (0..100).map(name).collect()
        };
        converted(&names(""), MOST_HELD, MOST_BYTES).expect("within bounds");
        for last in ["", "/.wh.gone"] {
            let error = converted(&names(last), 1 << 20, MOST_BYTES).expect_err(last);
            assert!(error.to_string().contains("more than 1 MiB of names"));
        }
    }

    #[test]
    fn bytes_of_all_files_count_together() {
        let names = ["a".to_owned(), "b".to_owned()];
        converted(&names, MOST_HELD, 12).expect("within bounds");
        let error = converted(&names, MOST_HELD, 11).expect_err("too much");
        assert!(matches!(error, OciError::TooLarge { .. }), "{error}");
    }
}

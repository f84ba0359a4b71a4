// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the bytes of a file mean.
//!
//! A container can write on its raw disk whatever it likes, a qcow2 header too, which names other files. So what
//! a file begins with never makes it a qcow2 image; its name does, or the user.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::Problem;

/// The first bytes of a qcow2 image.
const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Bytes of a header of version 3, without extensions (QEMU, docs/interop/qcow2.txt).
const HEADER: usize = 104;
/// Bits of incompatible features: the image is damaged and known to be.
const CORRUPT: u64 = 1 << 1;
/// The data are in another file.
const EXTERNAL_DATA: u64 = 1 << 2;
/// Clusters are compressed with something else than deflate.
const COMPRESSION: u64 = 1 << 3;
/// Those that QEMU 10 knows besides: not closed well, and parts of clusters.
const KNOWN: u64 = CORRUPT | EXTERNAL_DATA | COMPRESSION | 1 << 0 | 1 << 4;
/// Bytes of a sector.
pub(crate) const SECTOR: u64 = 512;
/// Names of image formats that are neither.
const OTHERS: [&str; 7] = ["qcow", "qed", "vdi", "vhd", "vhdx", "vmdk", "vpc"];

/// The format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The bytes of the file are those of the disk.
    Raw,
    /// QEMU's format, whose files grow with what is written.
    Qcow2,
}

impl Format {
    /// Its name, QEMU's too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Format::Raw, Format::Qcow2]
            .into_iter()
            .find(|format| format.name() == name)
    }

    /// The format of `file`, by what the user `said` of it and by its name.
    ///
    /// # Errors
    /// When what it begins with says something else.
    pub(crate) fn of(path: &Path, said: Option<Self>, file: &File) -> Result<Self, Problem> {
        let mut start = [0; MAGIC.len()];
        let begins = file.read_exact_at(&mut start, 0).is_ok() && start == MAGIC;
        let end = extension(path);
        match (said, end.as_deref()) {
            (Some(Format::Raw), _) => Ok(Format::Raw),
            (Some(Format::Qcow2), _) | (None, Some("qcow2")) if begins => Ok(Format::Qcow2),
            (Some(Format::Qcow2), _) | (None, Some("qcow2")) => Err(Problem::NoQcow2),
            (None, _) if begins => Err(Problem::Ambiguous),
            (None, Some(end)) if OTHERS.contains(&end) => Err(Problem::OtherFormat),
            (None, _) => Ok(Format::Raw),
        }
    }
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// The size of the disk in a qcow2 image of `length` bytes, in bytes.
///
/// # Errors
/// When the image is damaged as far as its header tells, or takes other files.
pub(crate) fn qcow2_size(file: &File, length: u64) -> Result<u64, Problem> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0)
        .map_err(|_| Problem::Damaged("it ends in its header"))?;
    let number = |at: usize, bytes: usize| {
        let bytes = header[at..at + bytes].iter();
        bytes.fold(0, |value, &byte| value << 8 | u64::from(byte))
    };
    let (version, cluster_bits) = (number(4, 4), number(20, 4));
    if !(2..=3).contains(&version) {
        return Err(Problem::Unsupported("of an unknown version"));
    }
    let features = if version == 3 { number(72, 8) } else { 0 };
    if number(8, 8) != 0 {
        return Err(Problem::OtherFiles("with a backing file"));
    }
    if features & EXTERNAL_DATA != 0 {
        return Err(Problem::OtherFiles("with its data in another file"));
    }
    if number(32, 4) != 0 {
        return Err(Problem::Unsupported("that is encrypted"));
    }
    if features & COMPRESSION != 0 {
        return Err(Problem::Unsupported(
            "whose clusters are compressed with something else than deflate",
        ));
    }
    if features & !KNOWN != 0 {
        return Err(Problem::Unsupported("of a kind that is newer than this"));
    }
    if features & CORRUPT != 0 {
        return Err(Problem::Damaged("it is marked so"));
    }
    if !(9..=21).contains(&cluster_bits) {
        return Err(Problem::Damaged("its clusters have an impossible size"));
    }
    let lies_within = |start: u64, length_of: u64| {
        let end = start.checked_add(length_of);
        start >= HEADER as u64 && end.is_some_and(|end| end <= length)
    };
    let (first_level, entries) = (number(40, 8), number(36, 4));
    let (counts, clusters) = (number(48, 8), number(56, 4));
    if entries != 0 && !lies_within(first_level, 8 * entries)
        || !lies_within(counts, clusters << cluster_bits)
    {
        return Err(Problem::Damaged("its tables are not in it"));
    }
    match number(24, 8) {
        0 => Err(Problem::Empty),
        size if size % SECTOR != 0 => Err(Problem::Sectors(size)),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The header of an image of 1 MiB in clusters of 64 KiB, and room for its tables.
    fn image() -> Vec<u8> {
        let mut bytes = vec![0; 4 << 16];
        let mut put = |at: usize, size: usize, value: u64| {
            bytes[at..at + size].copy_from_slice(&value.to_be_bytes()[8 - size..]);
        };
        for (at, size, value) in [
            (4, 4, 3),
            (20, 4, 16),
            (24, 8, 1 << 20),
            (36, 4, 1),
            (40, 8, 3 << 16),
            (48, 8, 1 << 16),
            (56, 4, 1),
            (100, 4, 104),
        ] {
            put(at, size, value);
        }
        bytes[..4].copy_from_slice(&MAGIC);
        bytes
    }

    fn judged(bytes: &[u8]) -> Result<u64, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        qcow2_size(&file, bytes.len() as u64).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_sound_header_gives_the_size() {
        assert_eq!(judged(&image()), Ok(1 << 20));
        let mut second = image();
        second[7] = 2;
        // Of a version 2, what follows is no feature.
        second[79] = 0xff;
        assert_eq!(judged(&second), Ok(1 << 20));
    }

    #[test]
    fn a_header_that_cannot_be_or_takes_other_files_is_refused() {
        for (at, value, reason) in [
            (7, 1, "unknown version"),
            (7, 4, "unknown version"),
            (15, 112, "backing file"),
            (79, 4, "another file"),
            (79, 2, "marked"),
            (79, 8, "deflate"),
            (79, 32, "newer"),
            (72, 1, "newer"),
            (35, 1, "encrypted"),
            (23, 8, "impossible size"),
            (23, 22, "impossible size"),
            (40, 0x7f, "tables"),
            (40, 0xff, "tables"),
            (48, 0xff, "tables"),
            (53, 4, "tables"),
            (56, 1, "tables"),
            (36, 1, "tables"),
            (31, 1, "1048577 bytes"),
        ] {
            let mut bytes = image();
            bytes[at] = value;
            let error = judged(&bytes).unwrap_err();
            assert!(error.contains(reason), "{at}={value}: {error}");
        }
        let mut none = image();
        none[24..32].fill(0);
        assert!(judged(&none).unwrap_err().contains("single sector"));
        assert!(judged(&image()[..100]).unwrap_err().contains("header"));
        assert!(judged(&image()[..2 << 16]).unwrap_err().contains("tables"));
    }
}

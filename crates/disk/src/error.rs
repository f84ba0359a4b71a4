// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that cannot be disks, and what to do about them.

use std::io;
use std::path::PathBuf;

use cki_session::DiskRates;

/// A disk cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("disk {}: {problem}", .name.display())]
pub struct DiskFileError {
    /// The path of the file; of one that was open already, the disk's serial number.
    pub name: PathBuf,
    /// Why not.
    pub problem: Problem,
}

/// Why a file cannot be a disk.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Nothing there.
    #[error("there is no such file; make one, for instance with `truncate -s 1G FILE`")]
    Missing,
    /// Nothing there, but what stands before a colon is: its word was taken for a part of the name.
    #[error(
        "there is no such file, and {file} has no option {word:?}; there are ro, rw, format=raw, format=qcow2, and \
         each once, the limits {limits}",
        file = .file.display(), limits = DiskRates::NAMES.map(|name| format!("{name}=RATE")).join(", ")
    )]
    Word {
        /// What is there.
        file: PathBuf,
        /// What stands behind it.
        word: String,
    },
    /// Not ours to read, or to write.
    #[error("may not be opened for {0}; change its permissions{remedy}", remedy = if *.0 == "writing" { ", or give \
        FILE:ro" } else { "" })]
    Denied(&'static str),
    /// The file system is read-only.
    #[error("lies on a file system that cannot be written; give FILE:ro")]
    ReadOnly,
    /// A directory, a character device, a socket, and where devices are not taken, one of them.
    #[error("is {0}")]
    Kind(&'static str),
    /// Another container has it.
    #[error(
        "is in use by another container or machine, mounted, or given twice; end that, or give FILE:ro to both"
    )]
    InUse,
    /// Too small.
    #[error("has not a single sector of 512 bytes; make it longer with `truncate -s 1G FILE`")]
    Empty,
    /// The last sector is not whole.
    #[error(
        "has {0} bytes, which are not whole sectors of 512; add what is missing with `truncate -s %512 FILE`"
    )]
    Sectors(u64),
    /// Its name and its first bytes say different things.
    #[error(
        "begins as a qcow2 image does, but is not named FILE.qcow2; give FILE:format=raw if a container may have \
         written that on its disk, or FILE:format=qcow2 if you made it as one"
    )]
    Ambiguous,
    /// It is said to be qcow2, and is not.
    #[error(
        "is no qcow2 image: it does not begin as one; give FILE:format=raw if its bytes are those of the disk"
    )]
    NoQcow2,
    /// The name of another format.
    #[error(
        "is named as an image of another format; convert it with `qemu-img convert -O qcow2`, or give FILE:format=raw \
         if its bytes are those of the disk"
    )]
    OtherFormat,
    /// The reader knows raw disks only.
    #[error("is a qcow2 image, and disks are raw here; convert it with `qemu-img convert -O raw`")]
    RawOnly,
    /// A part of the disk is in another file.
    #[error(
        "is a qcow2 image {0}, and would have the container read other files of yours; make one without it with \
         `qemu-img convert -O qcow2`"
    )]
    OtherFiles(&'static str),
    /// The header cannot be.
    #[error("is a damaged qcow2 image: {0}; try `qemu-img check -r all` on a copy of it")]
    Damaged(&'static str),
    /// The header asks for what we do not do.
    #[error(
        "is a qcow2 image {0}, which is not supported; convert it with `qemu-img convert -O qcow2`"
    )]
    Unsupported(&'static str),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] io::Error),
}

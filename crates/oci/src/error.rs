// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why an image cannot be used.

use std::io;
use std::path::PathBuf;

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// There is nothing of this name, which may be an image's name in a registry.
    #[error(
        "cannot read {0}: there is no such file or directory, and no registry is asked; \
         `podman save -o FILE IMAGE` (or docker, or skopeo) writes an image to a file{1}"
    )]
    Absent(PathBuf, String),
    /// The archive or directory cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is another image than was asked for.
    #[error("the image is not {wanted}; its digests are {}", .found.join(", "))]
    Another {
        /// The digest that was asked for.
        wanted: String,
        /// Those that it has: of its manifest, where it says one, and of its configuration.
        found: Vec<String>,
    },
    /// It is neither a directory nor a tar archive.
    #[error(
        "{0} is neither a directory nor a tar archive with an image (nor is a pipe: an archive has to be a file); \
         `podman save`, `docker save` and `skopeo copy ... oci-archive:FILE` write such archives{1}"
    )]
    Foreign(PathBuf, &'static str),
    /// The archive ends early, or a header in it is damaged.
    #[error("the archive {path} is damaged or incomplete: {source}")]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// A part that another one names is not there.
    #[error("the image {image} is incomplete: it has no {part}")]
    Missing {
        /// The archive or directory.
        image: PathBuf,
        /// What is not there.
        part: String,
    },
    /// A part is no such JSON as it should be.
    #[error("{part} of the image is not understood: {problem}")]
    Malformed {
        /// The part.
        part: String,
        /// What is wrong.
        problem: String,
    },
    /// A part is not what its digest says.
    #[error("{part} of the image is damaged: its digest is sha256:{found}, not {expected}")]
    Digest {
        /// The part.
        part: String,
        /// The digest by which it is named.
        expected: String,
        /// That of its bytes.
        found: String,
    },
    /// A part is not as long as said.
    #[error("{part} of the image is damaged: it has {found} bytes, not {expected}")]
    Size {
        /// The part.
        part: String,
        /// The size that is said.
        expected: u64,
        /// Its size.
        found: u64,
    },
    /// The image is for other machines.
    #[error("the image is for {0}; containers run linux/amd64")]
    Platform(String),
    /// There are several images.
    #[error("there are several images: {}; save one alone", .0.join(", "))]
    Several(Vec<String>),
    /// A limit is exceeded.
    #[error("{part} of the image is too large: more than {limit}")]
    TooLarge {
        /// The part.
        part: String,
        /// The limit.
        limit: String,
    },
    /// An entry of a layer is refused.
    #[error("the layer {layer} is refused: {path:?} {why}")]
    Entry {
        /// The layer's digest.
        layer: String,
        /// The entry.
        path: String,
        /// Why.
        why: Odd,
    },
    /// A layer's archive or compression is damaged.
    #[error("the layer {layer} is damaged: {source}")]
    Layer {
        /// The layer's digest.
        layer: String,
        /// What is wrong.
        source: io::Error,
    },
    /// A layer's file system could not be written.
    #[error("cannot write the layer {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What is wrong with an entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Odd {
    /// It leads out of the image.
    #[error("has `..` in it")]
    Parent,
    /// Its target leads out of the image.
    #[error("is a hard link to {0:?}, which has `..` in it")]
    Link(String),
    /// It would be a deletion for overlayfs.
    #[error("is a character device 0:0, which stands for a deletion")]
    Deletion,
    /// It would steer overlayfs.
    #[error("has the extended attribute {0}, which is overlayfs' own")]
    Overlay(String),
    /// It is of a type that no file system has.
    #[error("is of the unknown type {0:?}")]
    Type(char),
    /// Its contents are a list of holes.
    #[error(
        "is a sparse file as pax writes it, which is not supported; save the image without sparse files"
    )]
    Sparse,
    /// A number is too large for what it counts.
    #[error("has an owner or a device number that no kernel has")]
    Number,
    /// Too many directories in one another.
    #[error("lies more than {0} directories deep")]
    Deep(usize),
    /// It does not fit the others.
    #[error("cannot be: {0}")]
    Tree(String),
}

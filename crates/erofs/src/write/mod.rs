// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writing an EROFS file system from a stream of entries, such as an archive's. Contents of files are written as
//! they come, so that what is held in memory is names, attributes, and up to 64 MiB of the ends of files. Equal
//! entries in equal order make equal bits.
//!
//! The file system is plain, not compressed (Linux, Documentation/filesystems/erofs.rst):
//!
//! ```text
//! superblock | contents of files | inodes, with the ends of files and directories | the other blocks of directories
//! ```

mod directory;
mod inode;
mod place;
mod places;
mod tree;

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};

use place::{BLOCK, INODE, LARGEST_TAIL, Place};
use places::Places;
pub use tree::{Attributes, Kind, Tree, TreeError};
use tree::{Data, Node};

/// Why a file system could not be written.
#[derive(Debug)]
pub enum WriteError {
    /// An entry does not fit the others.
    Tree(TreeError),
    /// The contents of a file ended early or could not be read.
    Input(io::Error),
    /// The output could not be written.
    Output(io::Error),
    /// There are more blocks than a block's number can say.
    TooLarge,
}

impl fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(error) => error.fmt(formatter),
            Self::Input(error) => write!(formatter, "cannot read it: {error}"),
            Self::Output(error) => write!(formatter, "cannot write the file system: {error}"),
            Self::TooLarge => formatter.write_str("a file system of more than 16 TiB"),
        }
    }
}

impl std::error::Error for WriteError {}

impl From<TreeError> for WriteError {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}

/// Bytes of the ends of files that are held to be put beside their inodes; the ends of later files get blocks of
/// their own, so that many small files do not fill the memory.
const TAILS_MAX: u64 = 64 << 20;

/// Writes one file system to `W`.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    /// The next free block.
    next: u32,
    /// Bytes of ends that are held.
    tails: u64,
    tree: Tree,
}

impl<W: Write + Seek> Writer<W> {
    /// An empty file system.
    ///
    /// # Errors
    /// [`WriteError::Output`].
    pub fn new(out: W) -> Result<Self, WriteError> {
        let mut writer = Self {
            out,
            next: 1,
            tails: 0,
            tree: Tree::default(),
        };
        writer.seek(1)?;
        Ok(writer)
    }

    /// The names and attributes so far; entries without contents are added there.
    pub fn tree(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// Adds a file of `size` bytes, which are read from `contents`. It takes the place of what had its name.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn file(
        &mut self,
        path: &[&[u8]],
        attributes: Attributes,
        size: u64,
        contents: &mut dyn Read,
    ) -> Result<(), WriteError> {
        let data = self.data(&attributes, size, contents)?;
        Ok(self
            .tree
            .add(path, Node::new(attributes, Kind::File, data))?)
    }

    /// Adds a symbolic link to `target`, as [`Writer::file`] does.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn symlink(
        &mut self,
        path: &[&[u8]],
        attributes: Attributes,
        mut target: &[u8],
    ) -> Result<(), WriteError> {
        let data = self.data(&attributes, target.len() as u64, &mut target)?;
        Ok(self
            .tree
            .add(path, Node::new(attributes, Kind::Symlink, data))?)
    }

    /// Writes whole blocks of contents, and an end that cannot be put beside the inode.
    fn data(
        &mut self,
        attributes: &Attributes,
        size: u64,
        contents: &mut dyn Read,
    ) -> Result<Data, WriteError> {
        let first = self.next;
        let mut block = [0; BLOCK as usize];
        let mut left = size;
        while left >= BLOCK {
            contents.read_exact(&mut block).map_err(WriteError::Input)?;
            self.block(&block)?;
            left -= BLOCK;
        }
        let mut tail = vec![0; left as usize];
        contents.read_exact(&mut tail).map_err(WriteError::Input)?;
        let beside = INODE + attributes.xattr_length() + left;
        let own = left > LARGEST_TAIL || beside > BLOCK || self.tails + left > TAILS_MAX;
        if left > 0 && own {
            tail.resize(BLOCK as usize, 0);
            self.block(&tail)?;
            tail = Vec::new();
        }
        self.tails += tail.len() as u64;
        Ok(Data::Bytes { size, first, tail })
    }

    /// Writes the next block; one of zeros becomes a hole.
    fn block(&mut self, block: &[u8]) -> Result<(), WriteError> {
        self.next = self.next.checked_add(1).ok_or(WriteError::TooLarge)?;
        if block.iter().all(|&byte| byte == 0) {
            return self.seek(self.next);
        }
        self.out.write_all(block).map_err(WriteError::Output)
    }

    fn seek(&mut self, block: u32) -> Result<(), WriteError> {
        let at = SeekFrom::Start(u64::from(block) * BLOCK);
        self.out.seek(at).map(drop).map_err(WriteError::Output)
    }

    /// Writes all that is left, and gives the output back.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(mut self) -> Result<W, WriteError> {
        let nodes = self.tree.nodes();
        let places = Places::of(nodes, self.next).ok_or(WriteError::TooLarge)?;
        let mut inodes = vec![0; (u64::from(places.blocks) * BLOCK) as usize];
        let mut rest = Vec::new();
        for (node, place) in nodes.iter().zip(&places.inodes) {
            let bytes = match &node.data {
                Data::Directory { entries, parent } => {
                    directory::bytes(entries, place, &places.inodes[*parent], |child: usize| {
                        (&nodes[child], &places.inodes[child])
                    })
                }
                Data::Bytes { tail, .. } => tail.clone(),
                Data::Device(_) => Vec::new(),
            };
            let (blocks, tail) = bytes.split_at(bytes.len() - place.tail as usize);
            let mut inode = inode::bytes(node, place);
            inode.extend_from_slice(tail);
            let at = place.offset as usize;
            inodes[at..at + inode.len()].copy_from_slice(&inode);
            if let Data::Directory { .. } = node.data {
                rest.extend_from_slice(blocks);
                rest.resize(rest.len().next_multiple_of(BLOCK as usize), 0);
            }
        }
        let root: &Place = &places.inodes[0];
        let superblock = superblock(root, self.next, places.end, nodes.len());
        self.seek(self.next)?;
        let mut write = |bytes: &[u8]| self.out.write_all(bytes).map_err(WriteError::Output);
        write(&inodes)?;
        write(&rest)?;
        self.seek(0)?;
        let written = self
            .out
            .write_all(&superblock)
            .and_then(|()| self.out.flush());
        written.map(|()| self.out).map_err(WriteError::Output)
    }
}

/// The first block's used part.
fn superblock(root: &Place, meta: u32, end: u32, inodes: usize) -> Vec<u8> {
    let mut bytes = vec![0; crate::OFFSET as usize + 128];
    let mut put = |at: usize, value: &[u8]| {
        let at = crate::OFFSET as usize + at;
        bytes[at..at + value.len()].copy_from_slice(value);
    };
    put(0, &crate::MAGIC.to_le_bytes());
    put(crate::BLOCK_BITS, &[BLOCK.trailing_zeros() as u8]);
    put(14, &(root.nid() as u16).to_le_bytes());
    put(16, &(inodes as u64).to_le_bytes());
    put(crate::BLOCKS, &end.to_le_bytes());
    put(40, &meta.to_le_bytes());
    bytes
}

#[cfg(test)]
mod reader;
#[cfg(test)]
mod tests;

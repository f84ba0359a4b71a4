// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where all inodes are put.

use super::directory;
use super::place::{BLOCK, INODE, LARGEST_TAIL, Place, SLOT};
use super::tree::{Data, Kind, Node};

/// Where all are.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) inodes: Vec<Place>,
    /// Blocks of inodes.
    pub(super) blocks: u32,
    /// Blocks of the whole file system.
    pub(super) end: u32,
}

impl Places {
    /// Puts inodes from block `meta` on, and the blocks of directories behind them. None when there are too many.
    pub(super) fn of(nodes: &[Node], meta: u32) -> Option<Self> {
        // Number 0 is nobody's: programs pass over a name with it.
        let mut offset = SLOT;
        let mut inodes = Vec::with_capacity(nodes.len());
        for (id, node) in nodes.iter().enumerate() {
            let around = INODE + node.attributes.xattr_length();
            let (size, tail) = match &node.data {
                Data::Bytes { size, tail, .. } => (*size, tail.len() as u64),
                Data::Device(_) => (0, 0),
                Data::Directory { entries, .. } => {
                    let size = directory::size(entries);
                    let tail = size % BLOCK;
                    let beside = tail <= LARGEST_TAIL && around + tail <= BLOCK;
                    (size, if beside { tail } else { 0 })
                }
            };
            // What is beside an inode is in one block with its end.
            let length = around + tail;
            if tail > 0 && offset % BLOCK + length > BLOCK {
                offset = offset.next_multiple_of(BLOCK);
            }
            inodes.push(Place {
                id: u32::try_from(id).ok()?,
                offset,
                tail,
                first: 0,
                size,
                links: links(node, nodes),
            });
            offset = (offset + length).next_multiple_of(SLOT);
        }
        let blocks = u32::try_from(offset.div_ceil(BLOCK)).ok()?;
        let mut end = meta.checked_add(blocks)?;
        for (node, place) in nodes.iter().zip(&mut inodes) {
            if node.kind == Kind::Directory {
                place.first = end;
                let blocks = (place.size - place.tail).div_ceil(BLOCK);
                end = end.checked_add(u32::try_from(blocks).ok()?)?;
            }
        }
        Some(Self {
            inodes,
            blocks,
            end,
        })
    }
}

fn links(node: &Node, nodes: &[Node]) -> u32 {
    let Data::Directory { entries, .. } = &node.data else {
        return node.links;
    };
    let below = entries
        .values()
        .filter(|&&id| nodes[id].kind == Kind::Directory);
    2 + below.count() as u32
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bytes of an inode (`struct erofs_inode_extended`).

use super::place::{INODE, Place};
use super::tree::{Data, Node};

/// Data is in blocks alone, or its end is beside the inode.
const PLAIN: u16 = 0;
const INLINE: u16 = 2;

/// The inode with its extended attributes.
pub(super) fn bytes(node: &Node, place: &Place) -> Vec<u8> {
    let xattrs = node.attributes.xattr_bytes();
    let layout = if place.tail > 0 { INLINE } else { PLAIN };
    let count = match xattrs.len() {
        0 => 0,
        length => (length - 12) / 4 + 1,
    };
    let data = match &node.data {
        Data::Bytes { first, .. } => *first,
        Data::Device(number) => *number,
        Data::Directory { .. } => place.first,
    };
    let attributes = &node.attributes;
    let mut bytes = vec![0; INODE as usize];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    // The lowest bit: an inode of 64 bytes.
    put(0, &(1 | layout << 1).to_le_bytes());
    put(2, &(count as u16).to_le_bytes());
    let mode = node.kind.mode() | attributes.permissions & 0o7777;
    put(4, &mode.to_le_bytes());
    put(8, &place.size.to_le_bytes());
    put(16, &data.to_le_bytes());
    put(20, &(place.id + 1).to_le_bytes());
    put(24, &attributes.user.to_le_bytes());
    put(28, &attributes.group.to_le_bytes());
    put(32, &attributes.modified.to_le_bytes());
    put(44, &place.links.to_le_bytes());
    bytes.extend_from_slice(&xattrs);
    bytes
}

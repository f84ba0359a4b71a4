// SPDX-License-Identifier: MIT OR Apache-2.0

//! Directories: in each block, entries of twelve bytes (`struct erofs_dirent`), then their names; all sorted.

use std::collections::BTreeMap;

use super::place::{BLOCK, Place};
use super::tree::{Kind, Node};

/// Bytes of an entry without its name.
const ENTRY: usize = 12;

/// The names with `.` and `..`, in blocks.
fn blocks(entries: &BTreeMap<Vec<u8>, usize>) -> Vec<Vec<&[u8]>> {
    let mut names: Vec<&[u8]> = entries.keys().map(Vec::as_slice).collect();
    names.extend([&b"."[..], b".."]);
    names.sort_unstable();
    let mut blocks: Vec<Vec<&[u8]>> = Vec::new();
    let mut used = BLOCK as usize;
    for name in names {
        used += ENTRY + name.len();
        if used > BLOCK as usize {
            blocks.push(Vec::new());
            used = ENTRY + name.len();
        }
        if let Some(block) = blocks.last_mut() {
            block.push(name);
        }
    }
    blocks
}

fn length(block: &[&[u8]]) -> usize {
    block.iter().map(|name| ENTRY + name.len()).sum()
}

/// Bytes of a directory.
pub(super) fn size(entries: &BTreeMap<Vec<u8>, usize>) -> u64 {
    let blocks = blocks(entries);
    let last = blocks.last().map_or(0, |block| length(block));
    (blocks.len() as u64 - 1) * BLOCK + last as u64
}

/// The directory at `own`, in the one at `parent`; `node` finds an entry by its number.
pub(super) fn bytes<'a>(
    entries: &BTreeMap<Vec<u8>, usize>,
    own: &Place,
    parent: &Place,
    node: impl Fn(usize) -> (&'a Node, &'a Place),
) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for block in blocks(entries) {
        bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
        let mut name_at = block.len() * ENTRY;
        for name in &block {
            let (nid, kind) = match *name {
                b"." => (own.nid(), Kind::Directory),
                b".." => (parent.nid(), Kind::Directory),
                name => {
                    let (node, place) = node(entries[name]);
                    (place.nid(), node.kind)
                }
            };
            bytes.extend_from_slice(&nid.to_le_bytes());
            bytes.extend_from_slice(&(name_at as u16).to_le_bytes());
            bytes.extend_from_slice(&[kind as u8, 0]);
            name_at += name.len();
        }
        block.iter().for_each(|name| bytes.extend_from_slice(name));
    }
    bytes
}

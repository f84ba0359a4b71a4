// SPDX-License-Identifier: MIT OR Apache-2.0

//! A reader for tests, by the kernel's description of the format and nothing of the writer's. That the kernel
//! itself reads what is written is tested in containers (`tests/tests/oci.rs`).

use std::collections::BTreeMap;

/// An inode with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) nid: u64,
    pub(super) mode: u16,
    pub(super) links: u32,
    pub(super) user: u32,
    pub(super) modified: u64,
    pub(super) data: Vec<u8>,
    pub(super) xattrs: Vec<(u8, Vec<u8>, Vec<u8>)>,
}

/// Everything in a file system by its path.
pub(super) fn read(image: &[u8]) -> BTreeMap<String, Found> {
    let mut all = BTreeMap::new();
    let root = u64::from(u16_at(image, 1024 + 14));
    walk(image, root, root, String::new(), &mut all);
    all
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn inode(image: &[u8], nid: u64) -> Found {
    let at = u32_at(image, 1024 + 40) as usize * 4096 + nid as usize * 32;
    let format = u16_at(image, at);
    assert_eq!(format & 1, 1, "an inode of 64 bytes");
    let (size, mut at_xattr) = (u64_at(image, at + 8) as usize, at + 64);
    let count = usize::from(u16_at(image, at + 2));
    let end = at_xattr + if count == 0 { 0 } else { 12 + 4 * (count - 1) };
    let mut xattrs = Vec::new();
    at_xattr += 12;
    while at_xattr < end {
        let (name, number) = (usize::from(image[at_xattr]), image[at_xattr + 1]);
        let value = usize::from(u16_at(image, at_xattr + 2));
        let entry = &image[at_xattr + 4..at_xattr + 4 + name + value];
        xattrs.push((number, entry[..name].to_vec(), entry[name..].to_vec()));
        at_xattr = (at_xattr + 4 + name + value).next_multiple_of(4);
    }
    let mode = u16_at(image, at + 4);
    let blocks = u32_at(image, at + 16) as usize * 4096;
    let data = match (mode >> 12, format >> 1) {
        // Devices and pipes.
        (1 | 2 | 6, _) => image[at + 16..at + 20].to_vec(),
        (_, 0) => image[blocks..blocks + size].to_vec(),
        (_, 2) => {
            let (whole, tail) = (size / 4096 * 4096, size % 4096);
            assert_eq!(
                end / 4096,
                (end + tail - 1) / 4096,
                "the end is in one block"
            );
            [&image[blocks..blocks + whole], &image[end..end + tail]].concat()
        }
        (_, layout) => panic!("layout {layout}"),
    };
    Found {
        nid,
        mode,
        links: u32_at(image, at + 44),
        user: u32_at(image, at + 24),
        modified: u64_at(image, at + 32),
        data,
        xattrs,
    }
}

fn walk(image: &[u8], nid: u64, parent: u64, path: String, all: &mut BTreeMap<String, Found>) {
    let found = inode(image, nid);
    if found.mode >> 12 == 4 {
        let mut names: Vec<Vec<u8>> = Vec::new();
        for block in found.data.chunks(4096) {
            let count = usize::from(u16_at(block, 8)) / 12;
            for entry in 0..count {
                let name = usize::from(u16_at(block, entry * 12 + 8));
                let end = match entry + 1 < count {
                    true => usize::from(u16_at(block, (entry + 1) * 12 + 8)),
                    false => block.len(),
                };
                let name = block[name..end].split(|&byte| byte == 0).next();
                let name = name.expect("a name").to_vec();
                let child = u64_at(block, entry * 12);
                match &name[..] {
                    b"." => assert_eq!(child, nid),
                    b".." => assert_eq!(child, parent),
                    text => {
                        let text = String::from_utf8(text.to_vec()).expect("text");
                        walk(image, child, nid, format!("{path}/{text}"), all);
                    }
                }
                names.push(name);
            }
        }
        assert!(names.is_sorted(), "{path}: names are sorted");
    }
    all.insert(path, found);
}

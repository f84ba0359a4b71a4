// SPDX-License-Identifier: MIT OR Apache-2.0

//! Archives in cpio's "newc" format, which the kernel unpacks as initial file systems
//! (Documentation/driver-api/early-userspace). Several may follow each other.

/// Appends an archive with one program to an initial file system.
pub fn append_program(initrd: &mut Vec<u8>, name: &str, program: &[u8]) {
    // Archives begin at multiples of four.
    pad(initrd);
    entry(initrd, name, 0o100_755, program);
    entry(initrd, "TRAILER!!!", 0, &[]);
}

fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    // Inode, mode, uid, gid, links, mtime, size, device, device number, length of the name, checksum.
    let inode = 0;
    let length = name.len() + 1;
    let fields = [
        inode,
        mode as usize,
        0,
        0,
        1,
        0,
        content.len(),
        0,
        0,
        0,
        0,
        length,
        0,
    ];
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(name.bytes());
    archive.push(0);
    pad(archive);
    archive.extend(content);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_begins_where_the_kernel_looks_for_it() {
        let mut initrd = b"other".to_vec();
        append_program(&mut initrd, "p", b"\x7fELF!");
        assert_eq!(&initrd[..14], b"other\0\0\x00070701");
        // Header of 110 bytes and the name with its zero, padded to 112.
        assert_eq!(&initrd[8 + 110..8 + 112], b"p\0");
        assert_eq!(&initrd[8 + 112..8 + 120], b"\x7fELF!\0\0\0");
        assert_eq!(&initrd[8 + 54..8 + 62], b"00000005");
        assert!(initrd.ends_with(b"TRAILER!!!\0\0\0\0"));
        assert_eq!(initrd.len() % 4, 0);
    }
}

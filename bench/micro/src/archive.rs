// SPDX-License-Identifier: MIT OR Apache-2.0

//! A program more in an initial file system, which is an archive in cpio's "newc" format; several of those
//! may follow each other (Linux, Documentation/driver-api/early-userspace).

use std::io::{self, Write as _};

use cpio::newc::{Builder, trailer};

/// Appends an archive with one program to an initial file system.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for a program of 4 GiB and more.
pub fn append_program(initrd: &mut Vec<u8>, name: &str, program: &[u8]) -> io::Result<()> {
    let size = u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // Archives begin at multiples of four.
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    let mut entry = Builder::new(name).mode(0o100_755).write(&mut *initrd, size);
    entry.write_all(program)?;
    entry.finish()?;
    trailer(initrd)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_begins_where_the_kernel_looks_for_it() {
        let mut initrd = b"other".to_vec();
        append_program(&mut initrd, "p", b"\x7fELF!").expect("it is small");
        assert_eq!(&initrd[..14], b"other\0\0\x00070701");
        // Header of 110 bytes and the name with its zero, padded to 112.
        assert_eq!(&initrd[8 + 110..8 + 112], b"p\0");
        assert_eq!(&initrd[8 + 112..8 + 120], b"\x7fELF!\0\0\0");
        assert_eq!(&initrd[8 + 54..8 + 62], b"00000005");
        assert!(initrd.ends_with(b"TRAILER!!!\0\0\0\0"));
        assert_eq!(initrd.len() % 4, 0);
    }
}

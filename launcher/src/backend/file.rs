// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file or block device whose bytes are those of the disk.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::virtio::storage::Storage;

/// Bytes of zeroes that are written at a time, where the file system cannot make them otherwise.
const ZEROES: usize = 64 << 10;

/// The file.
#[derive(Debug)]
pub struct RawFile {
    file: File,
    size: u64,
    read_only: bool,
}

impl RawFile {
    /// A disk with the contents of `file`, which is open for writing unless `read_only`.
    ///
    /// # Errors
    /// When the length of the file cannot be found.
    pub fn new(mut file: File, read_only: bool) -> io::Result<Self> {
        // Unlike the length in the metadata, this is right for a block device too.
        let size = file.seek(SeekFrom::End(0))?;
        Ok(RawFile {
            file,
            size,
            read_only,
        })
    }

    fn allocate(&self, flags: FallocateFlags, offset: u64, length: u64) -> Result<(), Errno> {
        let flags = flags | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        loop {
            match fallocate(&self.file, flags, offset as i64, length as i64) {
                Err(Errno::EINTR) => {}
                result => return result,
            }
        }
    }
}

impl Storage for RawFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn read(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn zero(&mut self, offset: u64, length: u64, unmap: bool) -> io::Result<()> {
        let flags = match unmap {
            true => FallocateFlags::FALLOC_FL_PUNCH_HOLE,
            false => FallocateFlags::FALLOC_FL_ZERO_RANGE,
        };
        match self.allocate(flags, offset, length) {
            // The file system or the device knows no such thing.
            Err(Errno::EOPNOTSUPP | Errno::EINVAL) => {}
            result => return result.map_err(io::Error::from),
        }
        let (zeroes, mut done) = (vec![0; ZEROES], 0);
        while done < length {
            let count = (length - done).min(ZEROES as u64);
            self.file
                .write_all_at(&zeroes[..count as usize], offset + done)?;
            done += count;
        }
        Ok(())
    }

    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        match self.allocate(FallocateFlags::FALLOC_FL_PUNCH_HOLE, offset, length) {
            // A discard asks for nothing that must be done.
            Ok(()) | Err(Errno::EOPNOTSUPP | Errno::EINVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        loop {
            match self.file.sync_data() {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_zeroed_and_discarded_is_read_back() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let mut disk = RawFile::new(file, false).unwrap();
        assert_eq!(disk.size(), 1 << 20);
        disk.write(&[7; 200 << 10], 4096).unwrap();
        for unmap in [false, true] {
            let at = 8192 + 16384 * u64::from(unmap);
            disk.zero(at, 8192, unmap).unwrap();
            let mut bytes = [1; 3 * 8192];
            disk.read(&mut bytes, at - 4096).unwrap();
            assert!(bytes[..4096].iter().all(|&byte| byte == 7));
            assert!(bytes[4096..4096 + 8192].iter().all(|&byte| byte == 0));
            assert!(bytes[4096 + 8192..][..4096].iter().all(|&byte| byte == 7));
        }
        disk.discard(100 << 10, 8192).unwrap();
        disk.flush().unwrap();
        assert_eq!(disk.size(), 1 << 20);
        assert!(disk.read(&mut [0; 2], (1 << 20) - 1).is_err());
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file or block device whose bytes are those of the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::virtio::storage::Storage;

/// Bytes of zeroes that are written at a time, where the file system cannot make them otherwise.
const ZEROES: usize = 64 << 10;

/// Bytes from which on a transfer goes past the page cache. Smaller ones gain from it: they are put together there, and
/// found again.
const DIRECT_LEAST: usize = 128 << 10;
/// What a transfer past the page cache is a multiple of, in memory and in the file: no disk's blocks are larger.
const DIRECT_ALIGN: usize = 4096;

/// The file.
#[derive(Debug)]
pub struct RawFile {
    file: File,
    /// The same, past the page cache.
    direct: Option<File>,
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
            direct: None,
            size,
            read_only,
        })
    }

    /// Has large transfers go past the host's page cache, where the file's system can do that: then the container's own
    /// cache is the only one that they are copied into. Opens the file once more, so `/proc` is needed.
    #[must_use]
    pub fn past_the_cache(mut self) -> Self {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(!self.read_only);
        let options = options.custom_flags(libc::O_DIRECT);
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        self.direct = options.open(path).ok();
        self
    }

    /// The file for a transfer of these bytes past the page cache, if it can go there.
    fn direct(&self, bytes: &[u8], offset: u64) -> Option<&File> {
        let is_aligned = [bytes.as_ptr() as usize, bytes.len(), offset as usize]
            .iter()
            .all(|number| number % DIRECT_ALIGN == 0);
        let is_large = bytes.len() >= DIRECT_LEAST;
        self.direct.as_ref().filter(|_| is_aligned && is_large)
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
        if let Some(direct) = self.direct(bytes, offset) {
            // What was not read whole has an end, or blocks of another size, in it: the page cache takes any.
            if direct
                .read_at(bytes, offset)
                .is_ok_and(|n| n == bytes.len())
            {
                return Ok(());
            }
        }
        self.file.read_exact_at(bytes, offset)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = self.direct(bytes, offset) {
            if direct
                .write_at(bytes, offset)
                .is_ok_and(|n| n == bytes.len())
            {
                return Ok(());
            }
        }
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

    /// Both ways see what the other has written.
    #[test]
    fn large_pieces_go_past_the_cache_and_small_ones_do_not() {
        // Where the build is, is a disk; where temporary files are may be none.
        let build = std::env::current_exe().unwrap();
        let file = tempfile::tempfile_in(build.parent().unwrap()).unwrap();
        file.set_len(1 << 20).unwrap();
        let mut disk = RawFile::new(file, false).unwrap().past_the_cache();
        let mut large = crate::large::Large::default();
        let bytes = &mut large.bytes().unwrap()[..256 << 10];
        assert_eq!(disk.direct(bytes, 4096).is_some(), disk.direct.is_some());
        for (from, to, offset) in [(1, 256 << 10, 4096), (0, 64 << 10, 0), (0, 256 << 10, 512)] {
            assert!(
                disk.direct(&bytes[from..to], offset).is_none(),
                "{from} {to} {offset}"
            );
        }
        bytes.fill(1);
        disk.write(bytes, 8192).unwrap();
        disk.write(&[2; 4096], 16384).unwrap();
        disk.read(bytes, 8192).unwrap();
        assert!((0..bytes.len()).all(|at| bytes[at] == 1 + u8::from((8192..12288).contains(&at))));
        bytes.fill(3);
        disk.write(bytes, 8192).unwrap();
        let mut small = [0; 4096];
        disk.read(&mut small, 16384).unwrap();
        assert_eq!(small, [3; 4096]);
        assert!(disk.read(bytes, (1 << 20) - 4096).is_err());
    }

    /// As a file system or a medium may have it that takes no such transfers after all, or takes a part of one.
    #[test]
    fn what_cannot_go_past_the_cache_goes_through_it() {
        // Not every file system has it: this is no error, and nobody hears of it.
        let status = RawFile {
            file: File::open("/proc/self/status").unwrap(),
            direct: None,
            size: 0,
            read_only: true,
        };
        assert!(status.past_the_cache().direct.is_none());
        let mut large = crate::large::Large::default();
        let bytes = &mut large.bytes().unwrap()[..DIRECT_LEAST];
        let short = tempfile::tempfile().unwrap();
        short.write_all_at(&[9; 5000], 0).unwrap();
        for direct in [
            short,
            File::open("/dev/null").unwrap(),
            File::open("/").unwrap(),
        ] {
            let file = tempfile::tempfile().unwrap();
            file.set_len(1 << 20).unwrap();
            let mut disk = RawFile::new(file, false).unwrap();
            disk.direct = Some(direct);
            // A piece at the disk's end, and the file's is half a sector behind it.
            disk.file.set_len((1 << 20) + 256).unwrap();
            let last = (1 << 20) - DIRECT_LEAST as u64;
            disk.file.write_all_at(&[5; DIRECT_LEAST], last).unwrap();
            disk.read(bytes, last).unwrap();
            assert!(bytes.iter().all(|&byte| byte == 5));
        }
        // Not open for writing.
        let file = tempfile::tempfile().unwrap();
        let mut disk = RawFile::new(file, false).unwrap();
        disk.direct = Some(File::open("/dev/null").unwrap());
        bytes.fill(6);
        disk.write(bytes, 4096).unwrap();
        let mut found = vec![0; DIRECT_LEAST];
        disk.file.read_exact_at(&mut found, 4096).unwrap();
        assert!(found.iter().all(|&byte| byte == 6));
        // No room on either way.
        let full = || File::options().write(true).open("/dev/full").unwrap();
        disk.file = full();
        disk.direct = Some(full());
        let error = disk.write(bytes, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

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

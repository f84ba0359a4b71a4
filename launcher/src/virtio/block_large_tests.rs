// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests to the disk that are larger than a piece.

use std::io::Write;
use std::os::unix::fs::FileExt;

use super::tests::{DATA_AT, HEADER_AT, STATUS_AT, disk_of, header, large_disk, request};
use super::*;
use crate::backend::file::RawFile;
use crate::virtio::testing::{Driver, WRITE};

#[test]
fn a_request_larger_than_a_piece_is_read_whole() {
    let mut file = tempfile::tempfile().unwrap();
    let large: Vec<u8> = (0..300 * 1024u32).map(|n| (n % 253) as u8).collect();
    file.write_all(&large).unwrap();
    let mut driver = disk_of(file);
    let (status, _) = request(&mut driver, VIRTIO_BLK_T_IN, 0, &[200 * 1024, 100 * 1024]);
    assert_eq!(status, 0);
    assert_eq!(driver.bytes(DATA_AT, large.len()), large);
}

#[test]
fn a_request_larger_than_any_that_keeps_to_the_limits_fails() {
    let mut driver = large_disk();
    driver.put(HEADER_AT, &header(VIRTIO_BLK_T_IN, 0));
    // All of them the same memory, so that a guest needs little of it.
    for (length, status) in [(16 << 10, VIRTIO_BLK_S_OK), (17 << 10, VIRTIO_BLK_S_IOERR)] {
        let mut chain = vec![(HEADER_AT, 16, 0)];
        chain.extend([(DATA_AT, length, WRITE); SEGMENTS as usize]);
        chain.push((STATUS_AT, 1, WRITE));
        driver.offer(0, &chain);
        driver.notify(0);
        while driver.take_more() {
            driver.poll();
        }
        assert_eq!(driver.bytes(STATUS_AT, 1), [status as u8], "{length}");
    }
}

/// Whatever the guest's buffers are, the launcher's are aligned; what the disk's end or the sector makes odd is not.
#[test]
fn large_requests_are_whole_whatever_their_buffers_and_sectors_are() {
    let build = std::env::current_exe().unwrap();
    let file = tempfile::tempfile_in(build.parent().unwrap()).unwrap();
    let size = (1 << 20) + 3 * SECTOR as usize + 100;
    let mut expected: Vec<u8> = (0..size).map(|n| (n / 3 % 249) as u8).collect();
    file.write_all_at(&expected, 0).unwrap();
    let storage = RawFile::new(file.try_clone().unwrap(), false).unwrap();
    let mut driver = Driver::new(Block::new(Box::new(storage.past_the_cache()), "x"));
    for (sector, buffers) in [
        (0, vec![1, 4095, (256 << 10) - 4099, 3]),
        (8, vec![128 << 10]),
        (1, vec![100, (128 << 10) - 100]),
        (16, vec![(192 << 10) + 512]),
        (2051 - 256, vec![77, (128 << 10) - 77]),
        (0, vec![512 << 10, (512 << 10) + 3 * 512]),
    ] {
        let (at, length) = (
            (sector * SECTOR) as usize,
            buffers.iter().sum::<u32>() as usize,
        );
        let (status, used) = request(&mut driver, VIRTIO_BLK_T_IN, sector, &buffers);
        assert_eq!((status, used as usize), (0, length + 1), "{sector}");
        assert!(driver.bytes(DATA_AT, length) == expected[at..at + length]);
        for byte in &mut expected[at..at + length] {
            *byte = byte.wrapping_add(7);
        }
        driver.put(DATA_AT, &expected[at..at + length]);
        let (status, _) = request(&mut driver, VIRTIO_BLK_T_OUT, sector, &buffers);
        assert_eq!(status, 0, "{sector}");
        let mut found = vec![0; size];
        file.read_exact_at(&mut found, 0).unwrap();
        assert!(found == expected, "{sector}");
    }
    // One sector more than there is.
    let (status, _) = request(&mut driver, VIRTIO_BLK_T_OUT, 2052 - 256, &[128 << 10]);
    assert_eq!(status, VIRTIO_BLK_S_IOERR as u8);
    assert_eq!(file.metadata().unwrap().len(), size as u64);
}

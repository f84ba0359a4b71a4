// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a container has synced survives: a cut of the power at any moment, and a killed launcher.
//!
//! A child drives the disk device on a file, as a guest does, with a library preloaded that writes down what
//! is done to the file (`tests/power.c`). Some of its writes are large, and go past the page cache. At a hundred
//! moments the power is cut: of what was done since the file was synced last, each block is on the medium or not, at
//! random. The disk is opened again then: every block is at least as new as when the guest's last flush ended, and not
//! newer than what was written.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES,
};

use cki_disk::DiskOption;
use fastrand::Rng;

use super::disk::open;
use crate::jail::{self, Duty};
use crate::testing::{child, role};
use crate::virtio::block::Block;
use crate::virtio::testing::{Driver, WRITE};

const NAME: &str =
    "backend::power_tests::what_was_flushed_survives_a_cut_of_the_power_and_a_killed_launcher";
/// The disk: blocks of 4 KiB.
const BLOCK: u64 = 4096;
const BLOCKS: u64 = 256;
/// Blocks of a large write: 256 KiB.
const LARGE: u64 = 64;
const REQUESTS: u64 = 400;
const CUTS: u64 = 100;

/// Kinds of records: of the file, as in `power.c`, and of the guest.
const FILE_WRITE: u64 = 1;
const FILE_SYNC: u64 = 2;
const FILE_ZERO: u64 = 3;
const FILE_LENGTH: u64 = 4;
/// A write past the page cache.
const FILE_DIRECT: u64 = 5;
/// The guest is about to write version `length` of block `at`; of version 0, it is zero.
const GUEST_WRITE: u64 = 10;
/// A flush of the guest's has ended.
const GUEST_FLUSHED: u64 = 11;

struct Record {
    what: u64,
    at: u64,
    length: u64,
    data: Vec<u8>,
}

fn contents(block: u64, version: u64) -> Vec<u8> {
    let words = [block, version];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.repeat(BLOCK as usize / bytes.len())
}

#[test]
fn what_was_flushed_survives_a_cut_of_the_power_and_a_killed_launcher() {
    if let Some(path) = role(NAME) {
        guest(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("power.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(compiled.success());
    for lies in [false, true] {
        let path = dir.path().join(format!("disk-{lies}"));
        let lost = trial(&library, &path, lies);
        // A flush that does nothing loses what was flushed, and this test sees it.
        assert_eq!(lost != 0, lies, "{lost} of {CUTS}");
    }
}

#[test]
fn a_disk_is_served_under_the_filter_of_its_thread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    make(&path);
    let ended = child(NAME, path.to_str().unwrap()).status().unwrap();
    assert_eq!(ended.code(), Some(44), "{ended}");
}

/// Runs a guest on a new disk, kills it, and cuts the power; how many times something was lost.
fn trial(library: &Path, path: &Path, lies: bool) -> u64 {
    make(path);
    let before = std::fs::read(path).unwrap();
    let log = path.with_extension("log");
    File::create(&log).unwrap();
    let mut command = child(NAME, path.to_str().unwrap());
    command
        .env("LD_PRELOAD", library)
        .env("CKI_POWER_FILE", path)
        .env("CKI_POWER_LOG", &log);
    if lies {
        command.env("CKI_POWER_LIE", "1");
    }
    let ended = command.status().unwrap();
    assert_eq!(ended.signal(), Some(libc::SIGKILL), "{ended}");
    let records = parse(&std::fs::read(&log).unwrap());
    let syncs = records.iter().filter(|record| record.what == FILE_SYNC);
    assert_eq!(syncs.count() == 0, lies);
    let direct = records.iter().filter(|record| record.what == FILE_DIRECT);
    assert_eq!(direct.count() != 0, takes_direct(path));
    // The kernel of the host goes on: nothing that was written is lost.
    assert_eq!(loss(path, &records, records.len()), None);
    let mut random = Rng::with_seed(0x5eed);
    let mut lost = 0;
    for _ in 0..CUTS {
        let moment = random.u64(..records.len() as u64) as usize;
        std::fs::write(path, on_medium(&before, &records[..moment], &mut random)).unwrap();
        lost += u64::from(loss(path, &records, moment).is_some());
    }
    lost
}

/// Whether the file's system has writes past its page cache.
fn takes_direct(path: &Path) -> bool {
    let beside = path.with_extension("direct");
    let mut options = File::options();
    let options = options.create_new(true).write(true);
    let file = options.custom_flags(libc::O_DIRECT).open(beside);
    let mut large = crate::large::Large::default();
    let bytes = large.bytes().unwrap();
    file.is_ok_and(|file| file.write_at(bytes, 0).is_ok())
}

fn make(path: &Path) {
    let file = File::create_new(path).unwrap();
    file.set_len(BLOCKS * BLOCK).unwrap();
}

fn parse(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let (what, at, length) = (word(0), word(8), word(16));
        let size = match what {
            FILE_WRITE | FILE_DIRECT => length as usize,
            _ => 0,
        };
        let data = bytes[24..24 + size].to_vec();
        records.push(Record {
            what,
            at,
            length,
            data,
        });
        bytes = &bytes[24 + size..];
    }
    records
}

/// What is on the medium when the power is cut after `records`.
fn on_medium(before: &[u8], records: &[Record], random: &mut Rng) -> Vec<u8> {
    let synced = records
        .iter()
        .rposition(|record| record.what == FILE_SYNC)
        .unwrap_or(0);
    let mut medium = before.to_vec();
    for (number, record) in records.iter().enumerate() {
        if record.what == FILE_LENGTH {
            if number < synced || random.u64(..2) == 0 {
                medium.resize(record.at as usize, 0);
            }
            continue;
        }
        // The medium does not do a large piece at once.
        for from in (0..record.length as usize).step_by(BLOCK as usize) {
            if number >= synced && random.u64(..2) == 0 {
                continue;
            }
            let to = (record.length as usize).min(from + BLOCK as usize);
            let at = record.at as usize;
            if medium.len() < at + to {
                medium.resize(at + to, 0);
            }
            match record.what {
                FILE_WRITE | FILE_DIRECT => {
                    medium[at + from..at + to].copy_from_slice(&record.data[from..to]);
                }
                FILE_ZERO => medium[at + from..at + to].fill(0),
                _ => {}
            }
        }
    }
    medium
}

/// Opens the disk as it is after a cut at `moment`; the first thing that is not as it was promised.
fn loss(path: &Path, records: &[Record], moment: usize) -> Option<String> {
    let arg = DiskOption::raw(path);
    let mut disk = match open(&arg) {
        Ok(disk) => disk,
        Err(error) => return Some(error.to_string()),
    };
    let flushed = records[..moment]
        .iter()
        .rposition(|record| record.what == GUEST_FLUSHED)
        .unwrap_or(0);
    // Versions that each block may have: that of the flush, and those written since.
    let mut allowed = HashMap::<u64, Vec<u64>>::new();
    for (number, record) in records[..moment].iter().enumerate() {
        if record.what == GUEST_WRITE {
            let versions = allowed.entry(record.at).or_insert_with(|| vec![0]);
            if number < flushed {
                versions.clear();
            }
            versions.push(record.length);
        }
    }
    for block in 0..BLOCKS {
        let mut found = vec![0; BLOCK as usize];
        if let Err(error) = disk.read(&mut found, block * BLOCK) {
            return Some(format!("block {block}: {error}"));
        }
        let versions = allowed.get(&block).cloned().unwrap_or_else(|| vec![0]);
        let is = |version: &u64| match version {
            0 => found.iter().all(|&byte| byte == 0),
            &version => found == contents(block, version),
        };
        if !versions.iter().any(is) {
            return Some(format!(
                "block {block} has none of the versions {versions:?}"
            ));
        }
    }
    None
}

/// The child: writes, zeroes and flushes, and is killed in the middle; without a log, it does so under the filter.
fn guest(path: &Path) -> ! {
    let log = std::env::var_os("CKI_POWER_LOG").map(PathBuf::from);
    let mut log = log.map(|log| File::options().append(true).open(log).unwrap());
    let is_watched = log.is_some();
    let mut note = |what: u64, at: u64, length: u64| {
        if let Some(log) = &mut log {
            let words = [what, at, length].map(u64::to_le_bytes);
            log.write_all(&words.concat()).unwrap();
        }
    };
    let arg = DiskOption::raw(path);
    let disk = Block::new(open(&arg).unwrap(), "x");
    let mut driver = Driver::new(disk);
    if !is_watched {
        jail::confine(Duty::Disk).unwrap();
    }
    let mut random = Rng::with_seed(0xfeed);
    for version in 1..=REQUESTS {
        let block = random.u64(..BLOCKS);
        match random.u64(..12) {
            0 => {
                request(&mut driver, VIRTIO_BLK_T_FLUSH, 0, &[]);
                note(GUEST_FLUSHED, 0, 0);
            }
            1 => {
                note(GUEST_WRITE, block, 0);
                let mut range = (block * BLOCK / 512).to_le_bytes().to_vec();
                range.extend(u32::to_le_bytes(BLOCK as u32 / 512));
                range.extend(u32::to_le_bytes(version as u32 % 2));
                request(&mut driver, VIRTIO_BLK_T_WRITE_ZEROES, 0, &range);
            }
            2 if !is_watched => {
                let mut range = (block * BLOCK / 512).to_le_bytes().to_vec();
                range.extend([8, 0, 0, 0, 0, 0, 0, 0]);
                request(&mut driver, VIRTIO_BLK_T_DISCARD, 0, &range);
            }
            number => {
                let (first, count) = match number {
                    3 => (block.min(BLOCKS - LARGE), LARGE),
                    _ => (block, 1),
                };
                let mut data = Vec::new();
                for block in first..first + count {
                    note(GUEST_WRITE, block, version);
                    data.extend(contents(block, version));
                }
                request(&mut driver, VIRTIO_BLK_T_OUT, first * BLOCK / 512, &data);
            }
        }
    }
    if !is_watched {
        drop(driver);
        std::process::exit(44);
    }
    // What it holds back is not written by its end.
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
    unreachable!("killed");
}

/// A request with data for the device, which succeeds.
fn request(driver: &mut Driver<Block>, kind: u32, sector: u64, data: &[u8]) {
    let (header_at, data_at, status_at) = (0x80_0000, 0x90_0000, 0x80_1000);
    let mut header = kind.to_le_bytes().to_vec();
    header.extend([0; 4]);
    header.extend(sector.to_le_bytes());
    driver.put(header_at, &header);
    driver.put(data_at, data);
    driver.put(status_at, &[0xee]);
    let mut chain = vec![(header_at, 16, 0)];
    if !data.is_empty() {
        chain.push((data_at, data.len() as u32, 0));
    }
    chain.push((status_at, 1, WRITE));
    driver.offer(0, &chain);
    driver.notify(0);
    assert_eq!(driver.used(0).len(), 1);
    assert_eq!(driver.bytes(status_at, 1), [0], "request {kind}");
}

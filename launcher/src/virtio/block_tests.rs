// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests to the disk, well-formed and hostile.

use std::fs::File;
use std::io::Write;

use proptest::prelude::*;
use virtio_bindings::virtio_mmio as reg;

use super::*;
use crate::backend::file::RawFile;
use crate::virtio::testing::{Driver, NEXT, WRITE};

pub(super) const HEADER_AT: u64 = 0x80_0000;
pub(super) const STATUS_AT: u64 = 0x80_1000;
pub(super) const DATA_AT: u64 = 0x90_0000;
const SECTORS: u64 = 64;

fn contents() -> Vec<u8> {
    (0..SECTORS * SECTOR).map(|n| (n / 7 % 251) as u8).collect()
}

fn disk() -> Driver<Block> {
    disk_and_file(true).0
}

fn disk_and_file(read_only: bool) -> (Driver<Block>, File) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&contents()).unwrap();
    // Half a sector more does not count.
    file.write_all(&[1; 256]).unwrap();
    let storage = RawFile::new(file.try_clone().unwrap(), read_only).unwrap();
    (Driver::new(Block::new(Box::new(storage), "cki-app")), file)
}

pub(super) fn disk_of(file: File) -> Driver<Block> {
    let storage = RawFile::new(file, true).unwrap();
    Driver::new(Block::new(Box::new(storage), "x"))
}

pub(super) fn header(kind: u32, sector: u64) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(sector.to_le_bytes());
    bytes
}

/// Sends a request with data buffers of these lengths; its status and the length of the used buffer.
pub(super) fn request(
    driver: &mut Driver<Block>,
    kind: u32,
    sector: u64,
    data: &[u32],
) -> (u8, u32) {
    driver.put(HEADER_AT, &header(kind, sector));
    driver.put(STATUS_AT, &[0xee]);
    let mut chain = vec![(HEADER_AT, 16, 0)];
    let mut at = DATA_AT;
    for &length in data {
        let flags = if kind == VIRTIO_BLK_T_OUT { 0 } else { WRITE };
        chain.push((at, length, flags));
        at += u64::from(length);
    }
    chain.push((STATUS_AT, 1, WRITE));
    let head = driver.offer(0, &chain);
    driver.notify(0);
    let used = driver.used(0);
    assert_eq!(used.len(), 1);
    assert_eq!(used[0].0, u32::from(head));
    (driver.bytes(STATUS_AT, 1)[0], used[0].1)
}

#[test]
fn sectors_are_read_into_several_buffers() {
    let mut driver = disk();
    let (status, length) = request(&mut driver, VIRTIO_BLK_T_IN, 3, &[100, 412, 1024]);
    assert_eq!((status, length), (0, 1537));
    assert_eq!(driver.bytes(DATA_AT, 1536), contents()[3 * 512..6 * 512]);
    assert!(driver.take_interrupt());
}

#[test]
fn the_configuration_tells_whole_sectors() {
    let driver = disk();
    assert_eq!(driver.transport.read(0x100, 8), Ok(SECTORS));
    assert_eq!(driver.transport.read(0x100 + 12, 4), Ok(510));
    assert_eq!(driver.transport.read(0x100 + 20, 4), Ok(512));
}

#[test]
fn the_serial_number_is_given() {
    let mut driver = disk();
    let (status, length) = request(&mut driver, VIRTIO_BLK_T_GET_ID, 0, &[20]);
    assert_eq!((status, length), (0, 21));
    assert_eq!(&driver.bytes(DATA_AT, 8), b"cki-app\0");
}

#[test]
fn reads_beyond_the_end_and_of_part_sectors_fail() {
    let mut driver = disk();
    for (sector, length) in [
        (SECTORS, 512),
        (SECTORS - 1, 1024),
        (u64::MAX, 512),
        (u64::MAX / 512, 1024),
        (0, 100),
    ] {
        let (status, written) = request(&mut driver, VIRTIO_BLK_T_IN, sector, &[length]);
        assert_eq!((status, written), (VIRTIO_BLK_S_IOERR as u8, 1));
    }
}

#[test]
fn writes_and_unknown_requests_are_refused() {
    let mut driver = disk();
    driver.put(DATA_AT, &[0xff; 512]);
    let (status, _) = request(&mut driver, VIRTIO_BLK_T_OUT, 0, &[512]);
    assert_eq!(status, VIRTIO_BLK_S_IOERR as u8);
    let (status, _) = request(&mut driver, 4, 0, &[]);
    assert_eq!(status, VIRTIO_BLK_S_UNSUPP as u8);
    let (status, _) = request(&mut driver, 99, 0, &[512]);
    assert_eq!(status, VIRTIO_BLK_S_UNSUPP as u8);
    for change in [VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES] {
        let range = range(0, 1, 0);
        assert_eq!(
            send(&mut driver, change, 0, &range),
            VIRTIO_BLK_S_IOERR as u8
        );
    }
    let offered = driver.transport.device.features();
    assert_eq!(
        offered & (1 << VIRTIO_BLK_F_FLUSH | 1 << VIRTIO_BLK_F_DISCARD),
        0
    );
    let (_, _) = request(&mut driver, VIRTIO_BLK_T_IN, 0, &[512]);
    assert_eq!(driver.bytes(DATA_AT, 512), contents()[..512]);
}

fn range(sector: u64, count: u32, flags: u32) -> Vec<u8> {
    let mut bytes = sector.to_le_bytes().to_vec();
    bytes.extend(count.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes
}

/// Sends a request with data for the device, in two buffers; its status.
fn send(driver: &mut Driver<Block>, kind: u32, sector: u64, data: &[u8]) -> u8 {
    driver.put(HEADER_AT, &header(kind, sector));
    driver.put(DATA_AT, data);
    driver.put(STATUS_AT, &[0xee]);
    let (half, length) = (data.len() as u64 / 2, data.len() as u32);
    let mut chain = vec![(HEADER_AT, 16, 0)];
    if length != 0 {
        chain.push((DATA_AT, half as u32, 0));
        chain.push((DATA_AT + half, length - half as u32, 0));
    }
    chain.push((STATUS_AT, 1, WRITE));
    driver.offer(0, &chain);
    driver.notify(0);
    assert_eq!(driver.used(0).len(), 1);
    driver.bytes(STATUS_AT, 1)[0]
}

#[test]
fn a_disk_is_written_zeroed_and_discarded_within_its_bounds() {
    let (mut driver, file) = disk_and_file(false);
    let at = |offset: u64, length: usize| {
        let mut bytes = vec![0; length];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, offset).unwrap();
        bytes
    };
    let written = vec![0xa5; 3 * 512];
    assert_eq!(send(&mut driver, VIRTIO_BLK_T_OUT, 5, &written), 0);
    assert_eq!(at(5 * 512, written.len()), written);
    assert_eq!(at(4 * 512, 512), contents()[4 * 512..5 * 512]);
    assert_eq!(at(8 * 512, 512), contents()[8 * 512..9 * 512]);
    for flags in [0, 1] {
        let zeroes = range(6 + u64::from(flags), 1, flags);
        assert_eq!(send(&mut driver, VIRTIO_BLK_T_WRITE_ZEROES, 0, &zeroes), 0);
    }
    assert_eq!(at(5 * 512, 512), written[..512]);
    assert_eq!(at(6 * 512, 1024), vec![0; 1024]);
    assert_eq!(
        send(&mut driver, VIRTIO_BLK_T_DISCARD, 0, &range(10, 4, 0)),
        0
    );
    assert_eq!(send(&mut driver, VIRTIO_BLK_T_FLUSH, 0, &[]), 0);
    let before = at(0, (SECTORS * SECTOR) as usize);
    let (bad, unknown) = (VIRTIO_BLK_S_IOERR as u8, VIRTIO_BLK_S_UNSUPP as u8);
    for (kind, sector, data, status) in [
        (VIRTIO_BLK_T_OUT, SECTORS, vec![1; 512], bad),
        (VIRTIO_BLK_T_OUT, SECTORS - 1, vec![1; 1024], bad),
        (VIRTIO_BLK_T_OUT, u64::MAX, vec![1; 512], bad),
        (VIRTIO_BLK_T_OUT, 0, vec![1; 100], bad),
        (VIRTIO_BLK_T_DISCARD, 0, range(SECTORS, 1, 0), bad),
        (VIRTIO_BLK_T_DISCARD, 0, range(u64::MAX, 1, 0), bad),
        (VIRTIO_BLK_T_WRITE_ZEROES, 0, range(0, u32::MAX, 0), bad),
        (VIRTIO_BLK_T_WRITE_ZEROES, 0, range(0, 1, 2), unknown),
        (VIRTIO_BLK_T_DISCARD, 0, range(0, 1, 1), unknown),
        (VIRTIO_BLK_T_DISCARD, 0, vec![0; 32], unknown),
        (VIRTIO_BLK_T_DISCARD, 0, vec![0; 14], unknown),
    ] {
        assert_eq!(
            send(&mut driver, kind, sector, &data),
            status,
            "{kind} {sector}"
        );
    }
    assert_eq!(at(0, before.len()), before);
    assert!(!driver.needs_reset());
}

/// Counts flushes, and fails when it is told to.
struct Counting(std::sync::Arc<std::sync::Mutex<(u32, bool)>>);

impl Storage for Counting {
    fn size(&self) -> u64 {
        1 << 20
    }
    fn is_read_only(&self) -> bool {
        false
    }
    fn read(&mut self, _bytes: &mut [u8], _offset: u64) -> io::Result<()> {
        self.result()
    }
    fn write(&mut self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        self.result()
    }
    fn zero(&mut self, _offset: u64, _length: u64, _unmap: bool) -> io::Result<()> {
        self.result()
    }
    fn discard(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        self.result()
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().0 += 1;
        self.result()
    }
}

impl Counting {
    fn result(&self) -> io::Result<()> {
        match self.0.lock().unwrap().1 {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

/// A driver that flushes or does not.
fn driver_of(counting: Counting, flushes: bool) -> Driver<Block> {
    let mut driver = Driver::cold(Block::new(Box::new(counting), "x"));
    driver.negotiate(!(1 << 29 | u64::from(!flushes) << 9));
    driver.set_up_queue(0);
    driver.add_status(4);
    driver
}

#[test]
fn a_driver_that_does_not_flush_has_every_change_made_safe() {
    for flushes in [true, false] {
        let state = std::sync::Arc::default();
        let counting = Counting(std::sync::Arc::clone(&state));
        let mut driver = driver_of(counting, flushes);
        assert_eq!(send(&mut driver, VIRTIO_BLK_T_OUT, 0, &[1; 512]), 0);
        assert_eq!(
            send(&mut driver, VIRTIO_BLK_T_WRITE_ZEROES, 0, &range(0, 1, 0)),
            0
        );
        assert_eq!(state.lock().unwrap().0, if flushes { 0 } else { 2 });
        assert_eq!(send(&mut driver, VIRTIO_BLK_T_FLUSH, 0, &[]), 0);
        assert_eq!(state.lock().unwrap().0, if flushes { 1 } else { 3 });
        // A medium that is full is an error of the request, a flush that fails too.
        state.lock().unwrap().1 = true;
        for (kind, data) in [
            (VIRTIO_BLK_T_OUT, vec![1; 512]),
            (VIRTIO_BLK_T_WRITE_ZEROES, range(0, 1, 0)),
            (VIRTIO_BLK_T_DISCARD, range(0, 1, 0)),
            (VIRTIO_BLK_T_FLUSH, vec![]),
        ] {
            assert_eq!(send(&mut driver, kind, 0, &data), VIRTIO_BLK_S_IOERR as u8);
        }
        assert!(!driver.needs_reset());
    }
}

#[test]
fn an_image_that_shrinks_gives_errors_not_zeroes() {
    let (mut driver, file) = disk_and_file(true);
    file.set_len(1024).unwrap();
    let (status, _) = request(&mut driver, VIRTIO_BLK_T_IN, 8, &[512]);
    assert_eq!(status, VIRTIO_BLK_S_IOERR as u8);
}

#[test]
fn a_hundred_requests_in_a_row_wrap_the_rings() {
    let mut driver = disk();
    for round in 0..100u64 {
        let sector = round % SECTORS;
        let (status, _) = request(&mut driver, VIRTIO_BLK_T_IN, sector, &[256, 256]);
        assert_eq!(status, 0);
        let at = (sector * SECTOR) as usize;
        assert_eq!(driver.bytes(DATA_AT, 512), contents()[at..at + 512]);
    }
}

#[test]
fn malformed_chains_stop_the_device() {
    let chains: [&[(u64, u32, u16)]; 6] = [
        // A short header; no status byte; nothing writable; a buffer outside of memory (data, then
        // header); all of the address space.
        &[(HEADER_AT, 8, 0), (STATUS_AT, 1, WRITE)],
        &[(HEADER_AT, 16, 0)],
        &[(HEADER_AT, 16, 0), (DATA_AT, 512, 0)],
        &[
            (HEADER_AT, 16, 0),
            (1 << 40, 512, WRITE),
            (STATUS_AT, 1, WRITE),
        ],
        &[(1 << 40, 16, 0), (STATUS_AT, 1, WRITE)],
        &[
            (HEADER_AT, 16, 0),
            (u64::MAX - 100, 512, WRITE),
            (STATUS_AT, 1, WRITE),
        ],
    ];
    for chain in chains {
        let mut driver = disk();
        driver.put(HEADER_AT, &header(VIRTIO_BLK_T_IN, 0));
        driver.offer(0, chain);
        driver.notify(0);
        assert!(driver.needs_reset(), "{chain:?}");
        assert!(driver.used(0).is_empty());
    }
}

#[test]
fn a_chain_without_end_stops_the_device() {
    let mut driver = disk();
    driver.put(HEADER_AT, &header(VIRTIO_BLK_T_IN, 0));
    driver.put_descriptor(0, 0, HEADER_AT, 16, NEXT, 1);
    driver.put_descriptor(0, 1, DATA_AT, 512, NEXT | WRITE, 1);
    driver.make_available(0, 0);
    driver.notify(0);
    assert!(driver.needs_reset());
    assert!(driver.used(0).is_empty());
}

#[test]
fn more_requests_than_the_ring_holds_stop_the_device() {
    let mut driver = disk();
    driver.set_available_index(0, ENTRIES + 1);
    driver.notify(0);
    assert!(driver.needs_reset());
    assert_eq!(driver.read(reg::VIRTIO_MMIO_INTERRUPT_STATUS), 2);
}

/// A disk of 8 MiB of zeroes.
pub(super) fn large_disk() -> Driver<Block> {
    let file = tempfile::tempfile().unwrap();
    file.set_len(8 << 20).unwrap();
    disk_of(file)
}

#[test]
fn many_requests_are_served_in_turns() {
    let mut driver = large_disk();
    driver.put(HEADER_AT, &header(VIRTIO_BLK_T_IN, 0));
    for _ in 0..8 {
        let mut chain = vec![(HEADER_AT, 16, 0)];
        chain.extend([(DATA_AT, 32 << 10, WRITE); 12]);
        chain.push((STATUS_AT, 1, WRITE));
        driver.offer(0, &chain);
    }
    driver.notify(0);
    let mut turns = vec![driver.used(0).len()];
    while driver.take_more() {
        assert!(driver.take_interrupt());
        driver.poll();
        turns.push(driver.used(0).len());
    }
    // 384 KiB each: a turn ends with the one that reaches 1 MiB.
    assert_eq!(turns, [3, 3, 2]);
}

/// Hundreds of flushes, or of ranges of 32 MiB to zero, would else be one turn, in which nobody else has the device.
#[test]
fn a_turn_ends_with_a_request_that_takes_as_long_as_the_medium_likes() {
    for (flushes, kind) in [
        (true, VIRTIO_BLK_T_FLUSH),
        (true, VIRTIO_BLK_T_WRITE_ZEROES),
        (true, VIRTIO_BLK_T_DISCARD),
        (false, VIRTIO_BLK_T_OUT),
    ] {
        let mut driver = driver_of(Counting(Default::default()), flushes);
        driver.put(HEADER_AT, &header(kind, 0));
        let data = match kind {
            VIRTIO_BLK_T_OUT => vec![1; 512],
            VIRTIO_BLK_T_FLUSH => vec![],
            _ => range(0, 8, 0),
        };
        driver.put(DATA_AT, &data);
        let chain = [
            (HEADER_AT, 16, 0),
            (DATA_AT, data.len() as u32, 0),
            (STATUS_AT, 1, WRITE),
        ];
        for _ in 0..3 {
            driver.offer(0, &chain);
        }
        driver.notify(0);
        let mut turns = vec![driver.used(0).len()];
        while driver.take_more() {
            driver.poll();
            turns.push(driver.used(0).len());
        }
        assert_eq!(turns, [1, 1, 1], "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_chain_of_descriptors_panics(
        descriptors in proptest::collection::vec(
            (prop_oneof![0u64..0x100_0000, any::<u64>()], prop_oneof![0u32..2048, any::<u32>()], 0u16..8, 0u16..10),
            1..8,
        ),
        kind in 0u32..12,
        sector in prop_oneof![0u64..100, any::<u64>()],
        head in 0u16..200,
    ) {
        let mut driver = disk();
        driver.put(HEADER_AT, &header(kind, sector));
        for (at, (address, length, flags, next)) in descriptors.into_iter().enumerate() {
            let address = if at == 0 && head < 100 { HEADER_AT } else { address };
            driver.put_descriptor(0, at as u16, address, length, flags, next);
        }
        driver.make_available(0, if head < 100 { 0 } else { head });
        driver.notify(0);
    }
}

/// An indirect table may be longer than the queue; a chain may not. Looking at 128 times 65,535 descriptors
/// took 0.7 s under the device's lock.
#[test]
fn a_chain_longer_than_its_queue_stops_the_device() {
    for (length, stops) in [(ENTRIES, false), (ENTRIES + 1, true), (u16::MAX, true)] {
        let mut driver = disk();
        let table = 0x60_0000u64;
        for at in 0..length {
            let (size, flags) = match at {
                0 => (16, NEXT),
                _ if at + 1 == length => (1, WRITE),
                _ => (4, NEXT | WRITE),
            };
            let mut descriptor = (DATA_AT + 16 * u64::from(at)).to_le_bytes().to_vec();
            descriptor.extend(u32::to_le_bytes(size));
            descriptor.extend(flags.to_le_bytes());
            descriptor.extend((at + 1).to_le_bytes());
            driver.put(table + 16 * u64::from(at), &descriptor);
        }
        driver.put(DATA_AT, &[0; 16]);
        const INDIRECT: u16 = 4;
        driver.offer(0, &[(table, 16 * u32::from(length), INDIRECT)]);
        driver.notify(0);
        assert_eq!(driver.needs_reset(), stops, "{length}");
        assert_eq!(driver.used(0).len(), usize::from(!stops), "{length}");
    }
}

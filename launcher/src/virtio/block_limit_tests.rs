// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk that is no faster than it may be, by a clock that only the test sets.

use std::io::Write as _;

use super::tests::{DATA_AT, HEADER_AT, header};
use super::*;
use crate::backend::file::RawFile;
use crate::virtio::testing::{Driver, WRITE};

const SECTORS: u64 = 4096;
const SECOND: Duration = Duration::from_secs(1);
/// What the bucket is empty for at least.
const SOON: Duration = Duration::from_nanos(1);

/// A disk of zeroes with such limits, and what sets its clock forward.
fn disk(limits: &str) -> (Driver<Block>, impl Fn(Duration)) {
    let mut rates = DiskRates::default();
    for limit in limits.split_whitespace() {
        let (name, rate) = limit.split_once('=').unwrap();
        *rates.named(name).unwrap() = Some(rate.parse().unwrap());
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![0; (SECTORS * SECTOR) as usize])
        .unwrap();
    let storage = RawFile::new(file, false).unwrap();
    let (clock, pass) = Clock::of_a_test();
    let block = Block::new(Box::new(storage), "x").limited_by(rates, clock);
    (Driver::new(block), pass)
}

/// Offers request `number`, of `length` bytes, without telling; its head. Its header and status are its own.
fn offer(driver: &mut Driver<Block>, number: u64, kind: u32, length: u32) -> u32 {
    let (header_at, status_at) = (HEADER_AT + 16 * number, HEADER_AT + 0x8000 + number);
    driver.put(header_at, &header(kind, 0));
    driver.put(status_at, &[0xee]);
    let flags = if kind == VIRTIO_BLK_T_IN { WRITE } else { 0 };
    let mut chain = vec![(header_at, 16, 0)];
    if length > 0 {
        chain.push((DATA_AT, length, flags));
    }
    chain.push((status_at, 1, WRITE));
    driver.offer(0, &chain).into()
}

/// The heads of what was used since.
fn used(driver: &mut Driver<Block>) -> Vec<u32> {
    driver.used(0).into_iter().map(|(head, _)| head).collect()
}

#[test]
fn what_exceeds_a_rate_waits_in_its_order_and_is_done_when_its_time_has_come() {
    let (mut driver, pass) = disk("write-bps=4096+8192");
    let heads: Vec<_> = (0..5)
        .map(|number| offer(&mut driver, number, VIRTIO_BLK_T_OUT, 4096))
        .collect();
    driver.notify(0);
    assert_eq!(used(&mut driver), heads[..2]);
    assert_eq!(driver.after(), Some(SOON));
    assert!(driver.take_interrupt() && !driver.take_more());
    // Somebody wakes it too early.
    driver.poll();
    assert!(used(&mut driver).is_empty() && !driver.take_interrupt());
    pass(SOON);
    driver.poll();
    assert_eq!(used(&mut driver), heads[2..3]);
    assert_eq!(driver.after(), Some(SECOND));
    assert!(driver.take_interrupt());
    pass(SECOND / 2);
    driver.poll();
    assert!(used(&mut driver).is_empty());
    assert_eq!(driver.after(), Some(SECOND / 2));
    pass(SECOND / 2);
    driver.poll();
    assert_eq!(used(&mut driver), heads[3..4]);
    // Nothing that is late is lost, and nothing more is saved up for it than a burst.
    pass(100 * SECOND);
    driver.poll();
    assert_eq!(used(&mut driver), heads[4..]);
    assert_eq!(driver.after(), None);
    assert!(!driver.needs_reset());
}

#[test]
fn reads_do_not_wait_for_writes_nor_writes_for_reads() {
    let (mut driver, pass) = disk("write-iops=1 read-bps=8K");
    let writes: Vec<_> = (0..3)
        .map(|number| offer(&mut driver, number, VIRTIO_BLK_T_OUT, 512))
        .collect();
    let reads: Vec<_> = (3..6)
        .map(|number| offer(&mut driver, number, VIRTIO_BLK_T_IN, 4096))
        .collect();
    driver.notify(0);
    assert_eq!(used(&mut driver), [writes[0], reads[0], reads[1]]);
    pass(SECOND + SOON);
    driver.poll();
    assert_eq!(used(&mut driver), [reads[2], writes[1]]);
    pass(SECOND);
    driver.poll();
    assert_eq!(used(&mut driver), [writes[2]]);
}

#[test]
fn a_flush_is_an_operation_zeroes_are_bytes_and_what_is_discarded_is_none() {
    let range = |driver: &mut Driver<Block>, number, kind| {
        let mut bytes = 0u64.to_le_bytes().to_vec();
        bytes.extend(2048u32.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        driver.put(DATA_AT, &bytes);
        let head = offer(driver, number, kind, 16);
        driver.notify(0);
        used(driver) == [head]
    };
    let (mut driver, pass) = disk("write-bps=1M");
    for number in 0..20 {
        assert!(range(&mut driver, number, VIRTIO_BLK_T_DISCARD));
    }
    offer(&mut driver, 20, VIRTIO_BLK_T_FLUSH, 0);
    driver.notify(0);
    assert_eq!(used(&mut driver).len(), 1);
    assert!(range(&mut driver, 21, VIRTIO_BLK_T_WRITE_ZEROES));
    assert!(!range(&mut driver, 22, VIRTIO_BLK_T_WRITE_ZEROES));
    pass(SECOND);
    let (mut driver, _) = disk("write-iops=2");
    assert!(range(&mut driver, 0, VIRTIO_BLK_T_DISCARD));
    for (number, done) in [(1, 1), (2, 0)] {
        offer(&mut driver, number, VIRTIO_BLK_T_FLUSH, 0);
        driver.notify(0);
        assert_eq!(used(&mut driver).len(), done);
    }
}

#[test]
fn a_refused_request_counts_and_its_length_does_not() {
    let (mut driver, _) = disk("read-bps=1M read-iops=3");
    for number in 0..4 {
        driver.put(DATA_AT, &[0; 16]);
        let kind = if number == 0 { 99 } else { VIRTIO_BLK_T_IN };
        let head = offer(&mut driver, number, kind, 100);
        driver.notify(0);
        let expected = if number < 3 { vec![head] } else { vec![] };
        assert_eq!(used(&mut driver), expected);
    }
    // Longer than any request may be: refused, and not waited for until the guest has gone.
    let (mut driver, _) = disk("read-bps=1M");
    let chain = [
        (HEADER_AT, 16, 0),
        (0, 15 << 20, WRITE),
        (HEADER_AT + 0x8000, 1, WRITE),
    ];
    driver.put(HEADER_AT, &header(VIRTIO_BLK_T_IN, 0));
    driver.offer(0, &chain);
    driver.notify(0);
    let status = driver.bytes(HEADER_AT + 0x8000, 1)[0];
    assert_eq!(u32::from(status), VIRTIO_BLK_S_IOERR);
    offer(&mut driver, 1, VIRTIO_BLK_T_IN, 512);
    driver.notify(0);
    assert!(driver.after().unwrap() < 32 * SECOND);
}

#[test]
fn a_reset_forgets_who_waits_and_gives_no_second_burst() {
    let (mut driver, pass) = disk("write-iops=1");
    for number in 0..3 {
        offer(&mut driver, number, VIRTIO_BLK_T_OUT, 512);
    }
    driver.notify(0);
    assert_eq!(used(&mut driver).len(), 1);
    driver.start_anew();
    let head = offer(&mut driver, 0, VIRTIO_BLK_T_OUT, 512);
    driver.notify(0);
    assert!(used(&mut driver).is_empty());
    pass(10 * SECOND);
    driver.poll();
    assert_eq!(used(&mut driver), [head]);
    driver.poll();
    assert_eq!(driver.after(), None);
}

#[test]
fn a_request_that_was_changed_while_it_waited_is_what_it_is_then() {
    let (mut driver, pass) = disk("write-iops=1 read-iops=1");
    for (number, kind) in [(0, VIRTIO_BLK_T_OUT), (1, VIRTIO_BLK_T_IN)] {
        offer(&mut driver, number, kind, 512);
    }
    let changed = offer(&mut driver, 2, VIRTIO_BLK_T_OUT, 512);
    driver.notify(0);
    assert_eq!(used(&mut driver).len(), 2);
    // A read without room for a sector, in the end.
    driver.put(HEADER_AT + 32, &header(VIRTIO_BLK_T_IN, 0));
    pass(SECOND);
    offer(&mut driver, 3, VIRTIO_BLK_T_IN, 512);
    driver.notify(0);
    // Behind nobody: it waited as a write, and reads may go on.
    assert_eq!(used(&mut driver), [changed]);
    pass(SECOND);
    driver.poll();
    assert_eq!(used(&mut driver).len(), 1);
    assert!(!driver.needs_reset());
}

#[test]
fn a_driver_that_offers_more_than_it_can_have_is_not_listened_to() {
    let (mut driver, _) = disk("write-iops=1");
    let head = offer(&mut driver, 0, VIRTIO_BLK_T_OUT, 512) as u16;
    for _ in 0..3 {
        for _ in 0..200 {
            driver.make_available(0, head);
        }
        driver.notify(0);
        while driver.take_more() {
            driver.poll();
        }
    }
    assert!(driver.needs_reset());
}

#[test]
fn a_program_that_always_has_something_to_do_gets_the_rate() {
    let (mut driver, pass) = disk("read-bps=1M+64K read-iops=1000");
    let (mut done, mut time) = (0, Duration::ZERO);
    for number in 0..32 {
        offer(&mut driver, number, VIRTIO_BLK_T_IN, 4096);
    }
    driver.notify(0);
    while done < 1024 {
        for _ in used(&mut driver) {
            done += 1;
            offer(&mut driver, done % 32, VIRTIO_BLK_T_IN, 4096);
        }
        let after = match driver.take_more() {
            true => Duration::ZERO,
            // As the thread of a device waits.
            false => driver.after().unwrap() + Duration::from_millis(1),
        };
        pass(after);
        time += after;
        driver.notify(0);
    }
    // 4 MiB, of which 64 KiB at once.
    let ideal = 4.0 - 1.0 / 16.0;
    let seconds = time.as_secs_f64();
    assert!((ideal..ideal * 1.02).contains(&seconds), "{seconds}");
}

#[test]
fn requests_are_counted_by_what_they_are_and_those_that_fail_without_their_bytes() {
    let (mut driver, pass) = disk("write-iops=1");
    let serve = |driver: &mut Driver<Block>, kind, length| {
        offer(driver, 0, kind, length);
        driver.notify(0);
        assert_eq!(used(driver).len(), 1);
    };
    for _ in 0..3 {
        serve(&mut driver, VIRTIO_BLK_T_IN, 4096);
    }
    serve(&mut driver, VIRTIO_BLK_T_GET_ID, 0);
    // No whole sectors.
    serve(&mut driver, VIRTIO_BLK_T_IN, 100);
    for number in 0..2 {
        offer(&mut driver, number, VIRTIO_BLK_T_OUT, 8192);
    }
    driver.notify(0);
    assert_eq!(used(&mut driver).len(), 1);
    pass(2 * SECOND);
    driver.poll();
    assert_eq!(used(&mut driver).len(), 1);
    pass(2 * SECOND);
    serve(&mut driver, VIRTIO_BLK_T_FLUSH, 0);
    let counts = [
        ("failed_requests", 1),
        ("flush_requests", 1),
        ("read_bytes", 3 * 4096),
        ("read_requests", 4),
        ("write_bytes", 2 * 8192),
        ("write_held", 1),
        ("write_requests", 2),
    ];
    assert_eq!(
        driver.counted(),
        counts.map(|(name, n)| (name.to_owned(), n))
    );
    let named = driver.transport.device.tally().unwrap().read(&[]);
    assert_eq!((&*named.kind, &*named.name), ("disk", "x"));
}

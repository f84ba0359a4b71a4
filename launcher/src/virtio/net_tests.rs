// SPDX-License-Identifier: MIT OR Apache-2.0

//! Frames through the queues of a card, and drivers that break rules.

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;

use proptest::prelude::*;
use virtio_bindings::virtio_mmio as reg;

use super::*;
use crate::virtio::testing::{Driver, WRITE};

const DATA_AT: u64 = 0x90_0000;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

/// A link of two lists.
struct Lists {
    socket: UnixStream,
    offloads: bool,
    room: usize,
    sent: Vec<(Header, Vec<u8>)>,
    coming: VecDeque<Vec<u8>>,
}

impl AsFd for Lists {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Link for Lists {
    fn offloads(&self) -> bool {
        self.offloads
    }
    fn mtu(&self) -> u16 {
        9000
    }
    fn has_room(&self) -> bool {
        self.room > 0
    }
    fn send(&mut self, header: &Header, frame: &[u8]) {
        self.room -= 1;
        self.sent.push((*header, frame.to_vec()));
    }
    fn flush(&mut self) -> bool {
        self.room == 0
    }
    fn frame(&mut self) -> Option<(Header, &[u8])> {
        Some(([0; HEADER], self.coming.front()?))
    }
    fn consume(&mut self) {
        self.coming.pop_front();
    }
    fn is_over(&self) -> bool {
        false
    }
}

fn cold(offloads: bool) -> (Driver<Net<Lists>>, UnixStream) {
    let (socket, other) = UnixStream::pair().unwrap();
    let link = Lists {
        socket,
        offloads,
        room: 1000,
        sent: Vec::new(),
        coming: VecDeque::new(),
    };
    (Driver::cold(Net::new(link, MAC).unwrap()), other)
}

fn card() -> (Driver<Net<Lists>>, UnixStream) {
    let (mut driver, other) = cold(false);
    driver.set_up();
    (driver, other)
}

fn link(driver: &mut Driver<Net<Lists>>) -> &mut Lists {
    &mut driver.transport.device.link
}

fn send(driver: &mut Driver<Net<Lists>>, header: &Header, frame: &[u8]) {
    driver.put(DATA_AT, header);
    driver.put(DATA_AT + 0x1000, frame);
    driver.offer(
        TRANSMIT,
        &[
            (DATA_AT, HEADER as u32, 0),
            (DATA_AT + 0x1000, frame.len() as u32, 0),
        ],
    );
    driver.notify(TRANSMIT);
}

#[test]
fn a_frame_goes_out_without_its_header() {
    let (mut driver, _other) = card();
    send(&mut driver, &[0; HEADER], b"a frame");
    assert_eq!(link(&mut driver).sent, [([0; HEADER], b"a frame".to_vec())]);
    assert_eq!(driver.used(TRANSMIT).len(), 1);
}

#[test]
fn the_configuration_tells_address_and_mtu() {
    let (driver, _other) = card();
    let config = |offset: u64, size| driver.transport.read(0x100 + offset, size).unwrap();
    assert_eq!(config(0, 4), 0x0000_0002);
    assert_eq!(config(5, 1), 7);
    assert_eq!(config(6, 2), 1);
    assert_eq!(config(10, 2), 9000);
}

#[test]
fn what_the_link_does_not_do_is_not_offered() {
    for (offloads, wanted) in [(false, 0), (true, 1 | 1 << 1 | 1 << 11)] {
        let (driver, _other) = cold(offloads);
        let offered = driver.read(reg::VIRTIO_MMIO_DEVICE_FEATURES);
        assert_eq!(offered & (1 | 1 << 1 | 1 << 11), wanted);
        assert_eq!(offered & 1 << 15, 1 << 15);
    }
}

#[test]
fn a_frame_that_relies_on_what_was_not_offered_stops_the_card() {
    let (mut driver, _other) = card();
    let mut header = [0; HEADER];
    header[0] = 1;
    send(&mut driver, &header, b"x");
    assert!(driver.needs_reset());
    assert!(link(&mut driver).sent.is_empty());
}

#[test]
fn a_count_of_buffers_means_nothing_on_the_way_out() {
    let (mut driver, _other) = card();
    let mut counted = [0; HEADER];
    counted[10] = 9;
    send(&mut driver, &counted, b"y");
    assert_eq!(link(&mut driver).sent, [([0; HEADER], b"y".to_vec())]);
}

#[test]
fn a_frame_that_is_too_long_or_has_no_header_stops_the_card() {
    for length in [HEADER as u32 - 1, (HEADER + FRAME_MAX + 1) as u32] {
        let (mut driver, _other) = card();
        driver.offer(TRANSMIT, &[(DATA_AT, length, 0)]);
        driver.notify(TRANSMIT);
        assert!(driver.needs_reset(), "{length}");
    }
}

#[test]
fn frames_wait_while_the_link_has_no_room() {
    let (mut driver, _other) = card();
    link(&mut driver).room = 1;
    send(&mut driver, &[0; HEADER], b"one");
    send(&mut driver, &[0; HEADER], b"one");
    assert_eq!(link(&mut driver).sent.len(), 1);
    assert_eq!(driver.used(TRANSMIT).len(), 1);
    link(&mut driver).room = 9;
    driver.poll();
    assert_eq!(link(&mut driver).sent.len(), 2);
    assert_eq!(driver.used(TRANSMIT).len(), 1);
}

#[test]
fn a_frame_comes_in_one_buffer() {
    let (mut driver, _other) = card();
    driver.offer(RECEIVE, &[(DATA_AT, 2048, WRITE)]);
    link(&mut driver).coming.push_back(b"hello".to_vec());
    driver.poll();
    assert_eq!(driver.used(RECEIVE), [(0, HEADER as u32 + 5)]);
    let bytes = driver.bytes(DATA_AT, HEADER + 5);
    assert_eq!(bytes[..HEADER], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(&bytes[HEADER..], b"hello");
}

#[test]
fn a_large_frame_comes_in_several_buffers_at_once_or_not_at_all() {
    let (mut driver, _other) = card();
    let frame: Vec<u8> = (0..2500u32).map(|n| n as u8).collect();
    link(&mut driver).coming.push_back(frame.clone());
    for at in 0..2 {
        driver.offer(RECEIVE, &[(DATA_AT + 0x1000 * at, 1000, WRITE)]);
        driver.notify(RECEIVE);
        assert!(driver.used(RECEIVE).is_empty());
    }
    driver.offer(RECEIVE, &[(DATA_AT + 0x2000, 1000, WRITE)]);
    driver.notify(RECEIVE);
    assert_eq!(driver.used(RECEIVE), [(0, 1000), (1, 1000), (2, 512)]);
    let mut bytes = driver.bytes(DATA_AT, 1000);
    assert_eq!(bytes[NUM_BUFFERS..HEADER], [3, 0]);
    bytes.extend(driver.bytes(DATA_AT + 0x1000, 1000));
    bytes.extend(driver.bytes(DATA_AT + 0x2000, 512));
    assert_eq!(bytes[HEADER..], frame);
    // The next one has its own buffers.
    link(&mut driver).coming.push_back(b"next".to_vec());
    driver.offer(RECEIVE, &[(DATA_AT, 1000, WRITE)]);
    driver.notify(RECEIVE);
    assert_eq!(driver.used(RECEIVE), [(3, HEADER as u32 + 4)]);
}

proptest! {
    /// The header may end in any buffer, or with one.
    #[test]
    fn a_frame_and_its_header_fill_buffers_of_any_size(
        sizes in proptest::collection::vec(1..40u32, 1..8),
        length in 0..300usize,
    ) {
        let (mut driver, _other) = card();
        let frame: Vec<u8> = (0..length).map(|n| n as u8 | 0x80).collect();
        link(&mut driver).coming.push_back(frame.clone());
        for (&size, number) in sizes.iter().zip(0..) {
            driver.offer(RECEIVE, &[(DATA_AT + 0x100 * number, size, WRITE)]);
        }
        driver.poll();
        let used = driver.used(RECEIVE);
        if HEADER + length > sizes.iter().sum::<u32>() as usize {
            prop_assert!(used.is_empty());
            return Ok(());
        }
        let mut bytes = Vec::new();
        for ((&size, number), &(head, written)) in sizes.iter().zip(0..).zip(&used) {
            prop_assert_eq!(u64::from(head), number);
            prop_assert!(written == size || head as usize == used.len() - 1 && written <= size);
            bytes.extend(driver.bytes(DATA_AT + 0x100 * number, written as usize));
        }
        prop_assert_eq!(&bytes[..NUM_BUFFERS], &[0; NUM_BUFFERS]);
        prop_assert_eq!(&bytes[NUM_BUFFERS..HEADER], &(used.len() as u16).to_le_bytes());
        prop_assert_eq!(&bytes[HEADER..], frame);
    }
}

#[test]
fn a_driver_that_does_not_merge_gets_whole_frames_or_none() {
    let (mut driver, _other) = cold(false);
    driver.negotiate(!(1 << 29 | 1 << 15));
    driver.set_up_queue(RECEIVE);
    driver.set_up_queue(TRANSMIT);
    driver.add_status(4);
    driver.offer(RECEIVE, &[(DATA_AT, 2048, WRITE)]);
    link(&mut driver)
        .coming
        .extend([b"fits".to_vec(), vec![1; 2500]]);
    driver.poll();
    assert_eq!(driver.used(RECEIVE), [(0, HEADER as u32 + 4)]);
    driver.offer(RECEIVE, &[(DATA_AT, 1000, WRITE)]);
    driver.offer(RECEIVE, &[(DATA_AT + 0x1000, 1000, WRITE)]);
    driver.notify(RECEIVE);
    assert!(driver.needs_reset());
}

#[test]
fn a_frame_that_all_buffers_together_do_not_hold_is_lost() {
    let (mut driver, _other) = card();
    for _ in 0..crate::virtio::QUEUE_SIZE {
        driver.offer(RECEIVE, &[(DATA_AT, 16, WRITE)]);
    }
    link(&mut driver)
        .coming
        .extend([vec![1; 9000], b"tiny".to_vec()]);
    driver.poll();
    assert_eq!(driver.used(RECEIVE), [(0, HEADER as u32 + 4)]);
}

#[test]
fn buffers_outside_of_memory_stop_the_card() {
    for queue in [RECEIVE, TRANSMIT] {
        let (mut driver, _other) = card();
        link(&mut driver).coming.push_back(b"x".to_vec());
        let flags = if queue == RECEIVE { WRITE } else { 0 };
        driver.offer(queue, &[(1 << 40, 100, flags)]);
        driver.notify(queue);
        assert!(driver.needs_reset());
    }
}

/// A card with such limits, and what sets its clock forward.
fn limited(rates: NetworkRates) -> (Driver<Net<Lists>>, UnixStream, impl Fn(Duration)) {
    let (socket, other) = UnixStream::pair().unwrap();
    let link = Lists {
        socket,
        offloads: true,
        room: 1000,
        sent: Vec::new(),
        coming: VecDeque::new(),
    };
    let (clock, pass) = Clock::of_a_test();
    let card = Net::new(link, MAC).unwrap().limited_by(rates, clock);
    (Driver::new(card), other, pass)
}

fn ingress(bytes: &str, packets: &str) -> NetworkRates {
    NetworkRates {
        ingress_rate: bytes.parse().ok(),
        ingress_packets: packets.parse().ok(),
        ..NetworkRates::NONE
    }
}

fn egress(bytes: &str, packets: &str) -> NetworkRates {
    NetworkRates {
        egress_rate: bytes.parse().ok(),
        egress_packets: packets.parse().ok(),
        ..NetworkRates::NONE
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn frames_that_exceed_a_rate_are_sent_when_their_time_has_come() {
    for rates in [egress("1000+2000", ""), egress("", "1+2")] {
        let (mut driver, _other, pass) = limited(rates);
        driver.put(DATA_AT, &[0; HEADER + 1000]);
        for _ in 0..4 {
            driver.offer(TRANSMIT, &[(DATA_AT, HEADER as u32 + 1000, 0)]);
        }
        driver.notify(TRANSMIT);
        assert_eq!(driver.used(TRANSMIT).len(), 2);
        assert!(driver.after().is_some() && !driver.take_more());
        driver.poll();
        assert!(driver.used(TRANSMIT).is_empty());
        pass(driver.after().unwrap());
        driver.poll();
        assert_eq!(driver.used(TRANSMIT).len(), 1);
        pass(SECOND);
        driver.poll();
        assert_eq!(driver.used(TRANSMIT).len(), 1);
        assert_eq!(driver.transport.device.link.sent.len(), 4);
        let counts = [
            ("egress_bytes", 4000),
            ("egress_held", 2),
            ("egress_packets", 4),
        ];
        assert_eq!(
            driver.counted(),
            counts.map(|(name, n)| (name.to_owned(), n))
        );
        // What comes is not held back for it.
        driver.transport.device.link.coming.push_back(vec![7; 60]);
        driver.offer(RECEIVE, &[(DATA_AT, 2000, WRITE)]);
        driver.poll();
        assert_eq!(driver.used(RECEIVE).len(), 1);
    }
}

#[test]
fn what_comes_too_fast_stays_in_the_link_which_is_not_looked_at_until_then() {
    for rates in [ingress("1000", ""), ingress("", "1")] {
        let (mut driver, _other, pass) = limited(rates);
        for _ in 0..3 {
            driver.offer(RECEIVE, &[(DATA_AT, 2000, WRITE)]);
            let coming = &mut driver.transport.device.link.coming;
            coming.push_back(vec![7; 1000]);
        }
        driver.poll();
        assert_eq!(driver.used(RECEIVE).len(), 1);
        // A link that is readable would have the thread go round and round.
        assert_eq!(driver.transport.device.waits, EpollFlags::empty());
        assert!(driver.after().is_some() && !driver.take_more());
        driver.poll();
        assert!(driver.used(RECEIVE).is_empty());
        for _ in 0..2 {
            pass(SECOND + Duration::from_nanos(1));
            driver.poll();
            assert_eq!(driver.used(RECEIVE).len(), 1);
        }
        pass(SECOND);
        driver.poll();
        assert_eq!(driver.transport.device.waits, EpollFlags::EPOLLIN);
        assert_eq!(driver.after(), None);
        let counts = [
            ("ingress_bytes", 3000),
            ("ingress_held", 2),
            ("ingress_packets", 3),
        ];
        assert_eq!(
            driver.counted(),
            counts.map(|(name, n)| (name.to_owned(), n))
        );
    }
}

#[test]
fn a_card_gets_no_second_burst_by_a_reset() {
    let (mut driver, _other, _) = limited(egress("", "1"));
    driver.put(DATA_AT, &[0; HEADER + 60]);
    driver.offer(TRANSMIT, &[(DATA_AT, HEADER as u32 + 60, 0)]);
    driver.notify(TRANSMIT);
    driver.write(reg::VIRTIO_MMIO_STATUS, 0);
    assert!(driver.transport.device.egress_wait().is_some());
}

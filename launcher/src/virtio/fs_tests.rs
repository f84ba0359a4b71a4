// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex};

use super::*;
use crate::virtio::QUEUE_SIZE;
use crate::virtio::testing::{Driver, WRITE};

/// Where requests and replies are in guest memory.
const REQUEST: u64 = 0x20_0000;
const REPLY: u64 = 0x30_0000;
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

/// What a server was asked, and what it says.
#[derive(Default)]
struct Said {
    requests: Vec<Vec<u8>>,
    replies: VecDeque<Vec<u8>>,
    /// Requests that it takes before it has no room.
    room: Option<usize>,
    ended: bool,
}

struct Server {
    said: Arc<Mutex<Said>>,
    source: OwnedFd,
}

impl Link for Server {
    fn source(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
    fn send(&mut self, request: &[u8]) -> Result<bool, LinkEnded> {
        let mut said = self.said.lock().unwrap();
        if said.ended {
            return Err(LinkEnded);
        }
        match &mut said.room {
            Some(0) => return Ok(false),
            Some(room) => *room -= 1,
            None => {}
        }
        said.requests.push(request.to_vec());
        Ok(true)
    }
    fn receive(&mut self, reply: &mut Vec<u8>) -> Result<bool, LinkEnded> {
        let mut said = self.said.lock().unwrap();
        if said.ended {
            return Err(LinkEnded);
        }
        Ok(said.replies.pop_front().map(|next| *reply = next).is_some())
    }
    fn end(&mut self) {
        self.said.lock().unwrap().ended = true;
    }
}

fn driver() -> (Driver<Fs<Server>>, Arc<Mutex<Said>>) {
    let said = Arc::<Mutex<Said>>::default();
    let server = Server {
        said: said.clone(),
        source: std::fs::File::open("/dev/null").unwrap().into(),
    };
    (Driver::new(Fs::new("volume0", server)), said)
}

fn request(operation: u32, number: u64, body: &[u8]) -> Vec<u8> {
    let mut request = vec![0; REQUEST_HEADER];
    request.extend(body);
    let length = request.len() as u32;
    request[..4].copy_from_slice(&length.to_le_bytes());
    request[4..8].copy_from_slice(&operation.to_le_bytes());
    request[8..16].copy_from_slice(&number.to_le_bytes());
    request
}

fn reply(number: u64, body: &[u8]) -> Vec<u8> {
    let mut reply = failure(number, 0).to_vec();
    reply.extend(body);
    let length = reply.len() as u32;
    reply[..4].copy_from_slice(&length.to_le_bytes());
    reply
}

/// Offers a request whose header and body are apart, and room of 100 bytes for the reply in two parts.
fn ask(driver: &mut Driver<Fs<Server>>, number: u64) -> u16 {
    let request = request(LOOKUP, number, b"name\0");
    let (at, into) = (REQUEST + 0x100 * number, REPLY + 0x100 * number);
    driver.put(at, &request);
    driver.put(into, &[0xee; 0x100]);
    let body = (request.len() - REQUEST_HEADER) as u32;
    let header = REQUEST_HEADER as u32;
    let chain = [
        (at, header, 0),
        (at + u64::from(header), body, 0),
        (into, 16, WRITE),
        (into + 16, 84, WRITE),
    ];
    driver.offer(1, &chain)
}

fn answered(driver: &Driver<Fs<Server>>, number: u64) -> Vec<u8> {
    driver.bytes(REPLY + 0x100 * number, 0x100)
}

#[test]
fn the_guest_finds_tag_and_queues() {
    let (driver, _) = driver();
    let read = |at: u64| driver.transport.read(0x100 + at, 4).unwrap() as u32;
    assert_eq!(read(0).to_le_bytes(), *b"volu");
    assert_eq!(read(4).to_le_bytes(), *b"me0\0");
    assert_eq!(read(32), 0);
    assert_eq!(read(36), 1);
    assert_eq!(driver.transport.read(8, 4).unwrap(), 26);
}

#[test]
fn requests_go_out_whole_and_replies_come_back_in_any_order() {
    let (mut driver, said) = driver();
    let (first, second) = (ask(&mut driver, 1), ask(&mut driver, 2));
    driver.notify(1);
    assert_eq!(
        said.lock().unwrap().requests,
        [request(LOOKUP, 1, b"name\0"), request(LOOKUP, 2, b"name\0")]
    );
    assert!(driver.used(1).is_empty() && !driver.take_interrupt());
    said.lock().unwrap().replies = [reply(2, &[2; 84]), reply(1, &[1; 3])].into();
    driver.poll();
    assert_eq!(driver.used(1), [(second.into(), 100), (first.into(), 19)]);
    assert!(driver.take_interrupt());
    assert_eq!(answered(&driver, 2)[..100], reply(2, &[2; 84]));
    assert_eq!(answered(&driver, 1)[..19], reply(1, &[1; 3]));
    assert_eq!(answered(&driver, 1)[19..], [0xee; 237]);
    let counts = [
        ("replies", 2),
        ("reply_bytes", 100 + 19),
        ("request_bytes", 2 * 45),
        ("requests", 2),
    ];
    assert_eq!(
        driver.counted(),
        counts.map(|(name, n)| (name.to_owned(), n))
    );
}

#[test]
fn what_is_never_answered_is_done_when_it_was_said() {
    let (mut driver, said) = driver();
    for (number, operation) in [FORGET, INTERRUPT, BATCH_FORGET].into_iter().enumerate() {
        driver.put(REQUEST, &request(operation, 7, &[0; 8]));
        let head = driver.offer(0, &[(REQUEST, 48, 0)]);
        driver.notify(0);
        assert_eq!(said.lock().unwrap().requests.len(), number + 1);
        assert_eq!(driver.used(0), [(head.into(), 0)]);
        assert!(driver.transport.device.asked.is_empty());
    }
}

#[test]
fn a_server_without_room_is_asked_again() {
    let (mut driver, said) = driver();
    said.lock().unwrap().room = Some(1);
    ask(&mut driver, 1);
    ask(&mut driver, 2);
    driver.notify(1);
    assert_eq!(said.lock().unwrap().requests.len(), 1);
    said.lock().unwrap().room = None;
    driver.poll();
    assert_eq!(said.lock().unwrap().requests.len(), 2);
    assert!(!driver.needs_reset());
}

#[test]
fn what_is_asked_of_a_volume_that_has_ended_fails() {
    let (mut driver, said) = driver();
    let head = ask(&mut driver, 1);
    driver.notify(1);
    said.lock().unwrap().ended = true;
    driver.poll();
    assert_eq!(driver.used(1), [(head.into(), 16)]);
    assert_eq!(answered(&driver, 1)[..16], failure(1, libc::EIO));
    let head = ask(&mut driver, 2);
    driver.notify(1);
    assert_eq!(driver.used(1), [(head.into(), 16)]);
    assert_eq!(answered(&driver, 2)[..16], failure(2, libc::EIO));
    assert!(!driver.needs_reset());
}

#[test]
fn an_end_that_is_seen_while_asking_fails_what_was_asked_before() {
    let (mut driver, said) = driver();
    let before = ask(&mut driver, 1);
    driver.notify(1);
    assert_eq!(said.lock().unwrap().requests.len(), 1);
    said.lock().unwrap().ended = true;
    let after = ask(&mut driver, 2);
    driver.notify(1);
    let mut heads: Vec<_> = driver.used(1).iter().map(|&(head, _)| head).collect();
    heads.sort_unstable();
    assert_eq!(heads, [u32::from(before), u32::from(after)]);
}

#[test]
fn a_reply_that_does_not_fit_or_was_not_asked_for_ends_the_volume() {
    for wrong in [reply(1, &[1; 85]), reply(9, &[])] {
        let (mut driver, said) = driver();
        let head = ask(&mut driver, 1);
        driver.notify(1);
        said.lock().unwrap().replies = [wrong].into();
        driver.poll();
        assert!(said.lock().unwrap().ended);
        assert_eq!(driver.used(1), [(head.into(), 16)]);
        assert_eq!(answered(&driver, 1)[..16], failure(1, libc::EIO));
        assert_eq!(answered(&driver, 1)[16..], [0xee; 240]);
    }
}

#[test]
fn malformed_requests_stop_the_device() {
    let good = request(LOOKUP, 1, b"name\0");
    let length = good.len() as u32;
    let mut longer = good.clone();
    longer[0] += 1;
    let room = (REPLY, 100, WRITE);
    for (bytes, chain) in [
        (&good, vec![(REQUEST, 39, 0), room]),
        (&longer, vec![(REQUEST, length, 0), room]),
        (&good, vec![(REQUEST, length, 0), (REPLY, 15, WRITE)]),
        (&good, vec![(REQUEST, length, 0)]),
        (&good, vec![room]),
        (&good, vec![(REQUEST, MESSAGE_MAX as u32 + 1, 0), room]),
        (&good, vec![(1 << 40, length, 0), room]),
        (&good, vec![(REQUEST, length, 0), (1 << 40, 100, WRITE)]),
    ] {
        let (mut driver, said) = driver();
        driver.put(REQUEST, bytes);
        driver.offer(1, &chain);
        driver.notify(1);
        assert!(driver.needs_reset(), "{chain:?}");
        assert!(said.lock().unwrap().requests.is_empty(), "{chain:?}");
    }
}

#[test]
fn two_requests_of_one_number_stop_the_device() {
    let (mut driver, _) = driver();
    ask(&mut driver, 1);
    ask(&mut driver, 1);
    driver.notify(1);
    assert!(driver.needs_reset());
}

#[test]
fn no_more_requests_wait_than_there_are_buffers() {
    let (mut driver, said) = driver();
    // The 33rd has the buffers of the first again.
    let fit = u64::from(QUEUE_SIZE) / 4;
    for number in 1..=fit {
        ask(&mut driver, number);
        driver.notify(1);
    }
    assert!(!driver.needs_reset());
    ask(&mut driver, fit + 1);
    driver.notify(1);
    assert!(driver.needs_reset());
    assert_eq!(said.lock().unwrap().requests.len() as u64, fit);
    assert_eq!(driver.transport.device.asked.len() as u64, fit);
}

#[test]
fn replies_to_what_a_reset_forgot_are_dropped() {
    let (mut driver, said) = driver();
    ask(&mut driver, 1);
    driver.notify(1);
    driver.write(virtio_bindings::virtio_mmio::VIRTIO_MMIO_STATUS, 0);
    said.lock().unwrap().replies = [reply(1, &[])].into();
    let mut again = Driver::cold(driver.transport.device);
    again.set_up();
    again.poll();
    assert!(again.used(1).is_empty());
    assert!(!said.lock().unwrap().ended);
    ask(&mut again, 2);
    again.notify(1);
    said.lock().unwrap().replies = [reply(2, &[])].into();
    again.poll();
    assert_eq!(again.used(1).len(), 1);
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The console, driven as Linux's virtio_console.c does.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::virtio::testing::{Driver, WRITE};

const OUT_AT: u64 = 0x80_0000;
const IN_AT: u64 = 0x90_0000;
const CONTROL_AT: u64 = 0xa0_0000;

/// The far end of a port.
#[derive(Default)]
struct Far {
    input: VecDeque<u8>,
    closed: bool,
    output: Vec<u8>,
    /// Bytes that it still takes; `None` for any number.
    room: Option<usize>,
    fails: Option<ErrorKind>,
}

struct End(Arc<Mutex<Far>>);

impl PortIo for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut far = self.0.lock().unwrap();
        if let Some(kind) = far.fails {
            return Err(kind.into());
        }
        let count = far.room.unwrap_or(usize::MAX).min(bytes.len());
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        far.room = far.room.map(|room| room - count);
        far.output.extend(&bytes[..count]);
        Ok(count)
    }
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut far = self.0.lock().unwrap();
        if far.input.is_empty() && !far.closed {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = far.input.len().min(bytes.len());
        for (to, from) in bytes.iter_mut().zip(far.input.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

type Fars = Vec<Arc<Mutex<Far>>>;

fn console() -> (Driver<Console>, Fars) {
    let fars: Fars = (0..2).map(|_| Arc::default()).collect();
    let ports = fars
        .iter()
        .zip(["org.cki.control", "org.cki.stdin"])
        .map(|(far, name)| {
            (
                name.to_owned(),
                Box::new(End(Arc::clone(far))) as Box<dyn PortIo>,
            )
        })
        .collect();
    let mut driver = Driver::new(Console::new(ports));
    for buffer in 0..32 {
        driver.offer(
            CONTROL_IN,
            &[(CONTROL_AT + 0x1000 + 64 * buffer, 64, WRITE)],
        );
    }
    driver.notify(CONTROL_IN);
    (driver, fars)
}

fn say(driver: &mut Driver<Console>, id: usize, event: u16, value: u16) {
    driver.put(CONTROL_AT, &control(id, event, value, ""));
    driver.offer(CONTROL_OUT, &[(CONTROL_AT, 8, 0)]);
    driver.notify(CONTROL_OUT);
}

/// The control messages that have come: id, event, value, name.
fn hear(driver: &mut Driver<Console>) -> Vec<(u32, u16, u16, String)> {
    driver
        .used(CONTROL_IN)
        .into_iter()
        .map(|(head, length)| {
            let at = CONTROL_AT + 0x1000 + 64 * u64::from(head);
            let m = driver.bytes(at, length as usize);
            (
                u32::from_le_bytes(m[..4].try_into().unwrap()),
                u16::from_le_bytes(m[4..6].try_into().unwrap()),
                u16::from_le_bytes(m[6..8].try_into().unwrap()),
                String::from_utf8(m[8..].to_vec()).unwrap(),
            )
        })
        .collect()
}

/// A console whose ports are open on both sides.
fn open() -> (Driver<Console>, Fars) {
    let (mut driver, fars) = console();
    say(&mut driver, 0, event::DEVICE_READY, 1);
    for id in 1..=2 {
        say(&mut driver, id, event::PORT_READY, 1);
        say(&mut driver, id, event::PORT_OPEN, 1);
    }
    hear(&mut driver);
    (driver, fars)
}

#[test]
fn the_handshake_gives_every_port_its_name_and_opens_it() {
    let (mut driver, _fars) = console();
    assert_eq!(driver.transport.read(0x104, 4), Ok(3), "max_nr_ports");
    say(&mut driver, 0, event::DEVICE_READY, 1);
    let added = hear(&mut driver);
    assert_eq!(
        added,
        [
            (1, event::PORT_ADD, 1, String::new()),
            (2, event::PORT_ADD, 1, String::new())
        ]
    );
    say(&mut driver, 2, event::PORT_READY, 1);
    assert_eq!(
        hear(&mut driver),
        [
            (2, event::PORT_NAME, 1, "org.cki.stdin".to_owned()),
            (2, event::PORT_OPEN, 1, String::new())
        ]
    );
    assert!(driver.take_interrupt());
}

#[test]
fn messages_wait_for_buffers() {
    let fars: Fars = vec![Arc::default()];
    let port: Box<dyn PortIo> = Box::new(End(Arc::clone(&fars[0])));
    let mut driver = Driver::new(Console::new(vec![("a".to_owned(), port)]));
    say(&mut driver, 0, event::DEVICE_READY, 1);
    assert!(hear(&mut driver).is_empty());
    driver.offer(CONTROL_IN, &[(CONTROL_AT + 0x1000, 64, WRITE)]);
    driver.notify(CONTROL_IN);
    assert_eq!(hear(&mut driver).len(), 1);
}

#[test]
fn a_port_that_the_driver_does_not_know_is_ignored() {
    let (mut driver, _fars) = console();
    for id in [0, 3, 0xffff_ffff] {
        say(&mut driver, id, event::PORT_READY, 1);
    }
    say(&mut driver, 1, 99, 1);
    say(&mut driver, 1, event::PORT_OPEN, 7);
    assert!(hear(&mut driver).is_empty());
    assert!(!driver.needs_reset());
}

#[test]
fn output_arrives_in_order_and_completely() {
    let (mut driver, fars) = open();
    let (_, out) = queues_of(1);
    let long: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
    driver.put(OUT_AT, &long);
    driver.offer(out, &[(OUT_AT, 9000, 0), (OUT_AT + 9000, 1000, 0)]);
    driver.offer(out, &[(OUT_AT, 3, 0)]);
    driver.notify(out);
    assert_eq!(driver.used(out).len(), 2);
    let output = fars[0].lock().unwrap().output.clone();
    assert_eq!(output, [&long[..], &long[..3]].concat());
    assert_eq!(driver.counted(), [("output_bytes".to_owned(), 10_003)]);
}

#[test]
fn a_buffer_stays_until_all_of_it_is_taken() {
    let (mut driver, fars) = open();
    let (_, out) = queues_of(1);
    fars[0].lock().unwrap().room = Some(5000);
    driver.put(OUT_AT, &[b'x'; 6000]);
    driver.put(OUT_AT + 6000, b"after");
    driver.offer(out, &[(OUT_AT, 6000, 0)]);
    driver.offer(out, &[(OUT_AT + 6000, 5, 0)]);
    driver.notify(out);
    assert!(driver.used(out).is_empty());
    assert!(driver.transport.device.interest(0).output);
    fars[0].lock().unwrap().room = Some(1003);
    driver.poll();
    assert_eq!(driver.used(out).len(), 1);
    assert!(driver.transport.device.interest(0).output);
    fars[0].lock().unwrap().room = None;
    driver.poll();
    assert_eq!(driver.used(out).len(), 1);
    assert!(!driver.transport.device.interest(0).output);
    let output = fars[0].lock().unwrap().output.clone();
    assert_eq!(output.len(), 6005);
    assert!(output.ends_with(b"xafter"));
}

#[test]
fn much_output_is_taken_in_turns() {
    let (mut driver, fars) = open();
    // The same memory four times over, so that a guest needs little of it.
    driver.offer(5, &[(OUT_AT, 200 << 10, 0); 4]);
    driver.notify(5);
    let mut turns = vec![fars[0].lock().unwrap().output.len()];
    while driver.take_more() {
        let waits = driver.transport.device.interest(0).output;
        assert!(waits, "what is left is not forgotten");
        driver.poll();
        turns.push(fars[0].lock().unwrap().output.len());
    }
    assert!(!driver.transport.device.interest(0).output);
    assert_eq!(turns, [256 << 10, 512 << 10, 768 << 10, 800 << 10]);
    assert_eq!(driver.used(5).len(), 1);
}

#[test]
fn a_buffer_of_output_without_measure_stops_the_device() {
    let (mut driver, fars) = open();
    driver.offer(5, &[(OUT_AT, 1 << 20, 0); 5]);
    driver.notify(5);
    assert!(driver.needs_reset());
    assert!(fars[0].lock().unwrap().output.is_empty());
}

#[test]
fn output_that_nobody_takes_is_thrown_away_and_told() {
    let (mut driver, fars) = open();
    let (_, out) = queues_of(2);
    fars[1].lock().unwrap().fails = Some(ErrorKind::BrokenPipe);
    driver.offer(out, &[(OUT_AT, 100, 0)]);
    driver.offer(out, &[(OUT_AT, 100, 0)]);
    driver.notify(out);
    assert_eq!(driver.used(out).len(), 2);
    assert_eq!(
        driver.transport.device.broken(1),
        Some(ErrorKind::BrokenPipe)
    );
    assert_eq!(driver.transport.device.broken(0), None);
}

#[test]
fn input_waits_for_an_open_port_and_a_buffer() {
    let (mut driver, fars) = console();
    let (input, _) = queues_of(1);
    fars[0].lock().unwrap().input.extend(b"hello");
    driver.poll();
    assert!(!driver.transport.device.interest(0).input);
    say(&mut driver, 1, event::PORT_OPEN, 1);
    assert_eq!(fars[0].lock().unwrap().input.len(), 5);
    driver.offer(input, &[(IN_AT, 3, WRITE)]);
    driver.offer(input, &[(IN_AT + 3, 64, WRITE)]);
    driver.offer(input, &[(IN_AT + 100, 64, WRITE)]);
    driver.notify(input);
    let lengths: Vec<u32> = driver.used(input).iter().map(|used| used.1).collect();
    assert_eq!(lengths, [3, 2]);
    assert_eq!(&driver.bytes(IN_AT, 5), b"hello");
    assert!(driver.transport.device.interest(0).input);
    fars[0].lock().unwrap().input.extend(b"!");
    driver.poll();
    assert_eq!(driver.bytes(IN_AT + 100, 1), b"!");
    assert!(!driver.transport.device.interest(0).input, "no buffer left");
    assert_eq!(driver.counted(), [("input_bytes".to_owned(), 6)]);
}

#[test]
fn the_end_of_input_closes_the_port_once_after_all_bytes() {
    let (mut driver, fars) = open();
    let (input, _) = queues_of(2);
    {
        let mut far = fars[1].lock().unwrap();
        far.input.extend(b"last");
        far.closed = true;
    }
    for buffer in 0..3 {
        driver.offer(input, &[(IN_AT + 64 * buffer, 64, WRITE)]);
    }
    driver.notify(input);
    assert_eq!(driver.used(input).len(), 1);
    let closed = [(2, event::PORT_OPEN, 0, String::new())];
    assert_eq!(hear(&mut driver), closed);
    driver.poll();
    assert!(hear(&mut driver).is_empty());
    assert!(!driver.transport.device.interest(1).input);
    // Who asks later hears it too.
    say(&mut driver, 2, event::PORT_READY, 1);
    assert_eq!(hear(&mut driver)[1], closed[0]);
}

#[test]
fn output_goes_on_after_the_end_of_input() {
    let (mut driver, fars) = open();
    fars[0].lock().unwrap().closed = true;
    let (input, out) = queues_of(1);
    driver.offer(input, &[(IN_AT, 64, WRITE)]);
    driver.notify(input);
    driver.put(OUT_AT, b"still here");
    driver.offer(out, &[(OUT_AT, 10, 0)]);
    driver.notify(out);
    assert_eq!(fars[0].lock().unwrap().output, b"still here");
}

#[test]
fn a_short_control_message_stops_the_device() {
    let (mut driver, _fars) = console();
    driver.offer(CONTROL_OUT, &[(CONTROL_AT, 7, 0)]);
    driver.notify(CONTROL_OUT);
    assert!(driver.needs_reset());
}

#[test]
fn a_driver_that_asks_for_ever_is_stopped() {
    let fars: Fars = vec![Arc::default()];
    let port: Box<dyn PortIo> = Box::new(End(Arc::clone(&fars[0])));
    let mut driver = Driver::new(Console::new(vec![("a".to_owned(), port)]));
    for _ in 0..CONTROL_MAX {
        say(&mut driver, 1, event::PORT_READY, 1);
    }
    assert!(driver.needs_reset());
}

#[test]
fn after_a_reset_the_handshake_starts_again() {
    let (mut driver, _fars) = open();
    driver.write(virtio_bindings::virtio_mmio::VIRTIO_MMIO_STATUS, 0);
    assert_eq!(driver.transport.device.interest(0), Interest::default());
    assert!(!driver.transport.device.ports[0].open);
}

proptest! {
    #[test]
    fn no_control_message_panics(messages in proptest::collection::vec((any::<u32>(), 0u16..10, any::<u16>()), 0..60)) {
        let (mut driver, _fars) = console();
        for (id, event, value) in messages {
            say(&mut driver, (id % 5) as usize, event, value % 3);
        }
    }

    #[test]
    fn output_survives_any_pattern_of_room(
        rooms in proptest::collection::vec(1usize..3000, 1..20),
        lengths in proptest::collection::vec(1u32..5000, 1..6),
    ) {
        let (mut driver, fars) = open();
        let (_, out) = queues_of(1);
        let mut expected = Vec::new();
        let mut at = OUT_AT;
        fars[0].lock().unwrap().room = Some(0);
        for (number, length) in lengths.into_iter().enumerate() {
            let bytes = vec![number as u8 + 1; length as usize];
            driver.put(at, &bytes);
            driver.offer(out, &[(at, length, 0)]);
            at += u64::from(length);
            expected.extend(bytes);
        }
        driver.notify(out);
        for room in rooms {
            fars[0].lock().unwrap().room = Some(room);
            driver.poll();
        }
        fars[0].lock().unwrap().room = None;
        driver.poll();
        prop_assert_eq!(&fars[0].lock().unwrap().output, &expected);
    }
}

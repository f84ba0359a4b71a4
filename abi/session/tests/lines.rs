// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines on their way, and lines that come, however a descriptor gives and takes bytes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use cki_session::{
    Arrived, Event, Incoming, MAX_LINE, NotQueued, Outgoing, ProcessId, ProtocolError, QUEUE_MAX,
    Request, Signal, encode,
};
use proptest::prelude::*;

/// What a descriptor does when it is read or written.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// So many bytes, at most.
    Bytes(usize),
    Fails(ErrorKind),
}

/// A descriptor that does these things, one a call, and all that is asked of it after that.
struct Descriptor {
    steps: VecDeque<Step>,
    /// What it gives, or what it was given.
    bytes: VecDeque<u8>,
    calls: usize,
}

impl Descriptor {
    fn new(steps: impl IntoIterator<Item = Step>, bytes: &[u8]) -> Self {
        Descriptor {
            steps: steps.into_iter().collect(),
            bytes: bytes.iter().copied().collect(),
            calls: 0,
        }
    }

    fn step(&mut self, asked: usize) -> io::Result<usize> {
        self.calls += 1;
        match self.steps.pop_front() {
            Some(Step::Bytes(count)) => Ok(asked.min(count)),
            Some(Step::Fails(kind)) => Err(kind.into()),
            None => Ok(asked),
        }
    }
}

impl Read for Descriptor {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.step(bytes.len())?;
        self.bytes.read(&mut bytes[..count])
    }
}

impl Write for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.step(bytes.len())?;
        self.bytes.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn signal(id: u32) -> Request {
    Request::Signal {
        id: ProcessId(id),
        signal: Signal::TERM,
    }
}

/// A message of this many bytes, its `\n` included.
fn long(length: usize) -> Event {
    let empty = Event::Refused {
        message: String::new(),
    };
    let rest = length - encode(&empty).unwrap().len();
    Event::Refused {
        message: "x".repeat(rest),
    }
}

/// All messages that are there, and what is not understood.
fn heard(incoming: &mut Incoming) -> Vec<Result<Request, String>> {
    std::iter::from_fn(|| incoming.hear().unwrap()).collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..50_usize).prop_map(Step::Bytes),
        1 => Just(Step::Fails(ErrorKind::Interrupted)),
        2 => Just(Step::Fails(ErrorKind::WouldBlock)),
    ];
    prop::collection::vec(step, 0..100)
}

proptest! {
    #[test]
    fn messages_are_the_same_however_they_are_cut_on_the_way(
        ids in prop::collection::vec(any::<u32>(), 1..30),
        writes in steps(),
        reads in steps(),
    ) {
        let mut outgoing = Outgoing::default();
        let mut wire = Descriptor::new(writes, b"");
        for &id in &ids {
            outgoing.push(&signal(id)).unwrap();
            // Between others, whatever is left of them.
            outgoing.write_to(&mut wire).unwrap();
        }
        while !outgoing.write_to(&mut wire).unwrap() {}
        prop_assert!(outgoing.is_empty());

        wire.steps = reads.into();
        let (mut incoming, mut got) = (Incoming::default(), Vec::new());
        while incoming.read_from(&mut wire).unwrap() != Arrived::End {
            got.extend(heard(&mut incoming));
        }
        let sent: Vec<_> = ids.into_iter().map(|id| Ok(signal(id))).collect();
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn whoever_comes_for_bytes_gets_all_of_them_in_order(
        ids in prop::collection::vec(any::<u32>(), 1..30),
        size in 1..100_usize,
    ) {
        let (mut outgoing, mut incoming, mut got) = (Outgoing::default(), Incoming::default(), Vec::new());
        let mut bytes = vec![0; size];
        for &id in &ids {
            outgoing.push(&signal(id)).unwrap();
            let count = outgoing.take(&mut bytes);
            incoming.push(&bytes[..count]);
        }
        loop {
            let count = outgoing.take(&mut bytes);
            if count == 0 {
                break;
            }
            incoming.push(&bytes[..count]);
            got.extend(heard(&mut incoming));
        }
        got.extend(heard(&mut incoming));
        let sent: Vec<_> = ids.into_iter().map(|id| Ok(signal(id))).collect();
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn bytes_of_nobody_we_know_are_no_messages_and_no_panic(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
    ) {
        let mut incoming = Incoming::default();
        for piece in pieces {
            incoming.push(&piece);
            while let Ok(Some(request)) = incoming.hear::<Request>() {
                prop_assert!(request.is_err(), "{:?}", request);
            }
        }
    }
}

#[test]
fn a_full_queue_takes_nothing_of_a_message_and_keeps_what_it_has() {
    let mut outgoing = Outgoing::default();
    let longest = long(MAX_LINE);
    assert!(outgoing.has_room());
    outgoing.push(&longest).unwrap();
    assert!(!outgoing.has_room(), "another of the longest does not fit");
    assert_eq!(outgoing.push(&longest), Err(NotQueued::Full));
    // To the last byte.
    let rest = QUEUE_MAX - MAX_LINE;
    assert_eq!(outgoing.push(&long(rest + 1)), Err(NotQueued::Full));
    outgoing.push(&long(rest)).unwrap();
    assert_eq!(outgoing.push(&signal(1)), Err(NotQueued::Full));
    let mut other = Outgoing::default();
    other.push(&signal(1)).unwrap();
    assert_eq!(outgoing.append(other), Err(NotQueued::Full));

    let mut wire = Descriptor::new([], b"");
    assert!(outgoing.write_to(&mut wire).unwrap());
    assert_eq!(wire.bytes.len(), QUEUE_MAX);
    assert_eq!(
        wire.bytes.iter().filter(|&&byte| byte == b'\n').count(),
        2,
        "nothing of those that were refused"
    );
    assert!(outgoing.has_room() && outgoing.is_empty());
    outgoing.push(&signal(1)).unwrap();
}

#[test]
fn there_is_room_exactly_while_a_message_of_the_longest_fits() {
    let mut outgoing = Outgoing::default();
    while outgoing.has_room() {
        outgoing.push(&signal(1)).unwrap();
    }
    assert_eq!(outgoing.push(&long(MAX_LINE)), Err(NotQueued::Full));
    let mut one = vec![0; encode(&signal(1)).unwrap().len()];
    outgoing.take(&mut one);
    assert!(outgoing.has_room());
    outgoing.push(&long(MAX_LINE)).unwrap();
}

#[test]
fn a_message_that_is_too_long_is_told_from_a_queue_that_is_full() {
    let mut outgoing = Outgoing::default();
    let refused = outgoing.push(&long(MAX_LINE + 1));
    assert_eq!(refused, Err(NotQueued::Message(ProtocolError::TooLong)));
    assert!(outgoing.is_empty());
}

#[test]
fn what_waits_elsewhere_comes_after_what_waits_here() {
    let (mut first, mut second) = (Outgoing::default(), Outgoing::default());
    first.push(&signal(1)).unwrap();
    second.push(&signal(2)).unwrap();
    first.append(second).unwrap();
    let mut wire = Descriptor::new([], b"");
    first.write_to(&mut wire).unwrap();
    let mut incoming = Incoming::default();
    incoming.push(wire.bytes.make_contiguous());
    assert_eq!(heard(&mut incoming), [Ok(signal(1)), Ok(signal(2))]);
}

#[test]
fn a_short_write_goes_on_where_it_stopped_and_a_full_descriptor_is_not_waited_for() {
    let line = encode(&signal(1)).unwrap();
    let mut outgoing = Outgoing::default();
    outgoing.push(&signal(1)).unwrap();
    let mut wire = Descriptor::new(
        [
            Step::Bytes(3),
            Step::Fails(ErrorKind::Interrupted),
            Step::Bytes(1),
            Step::Fails(ErrorKind::WouldBlock),
        ],
        b"",
    );
    assert!(!outgoing.write_to(&mut wire).unwrap());
    assert_eq!((wire.calls, wire.bytes.len()), (4, 4));
    assert!(outgoing.write_to(&mut wire).unwrap());
    assert_eq!(wire.bytes, line);
}

#[test]
fn a_descriptor_that_fails_or_takes_nothing_is_an_error() {
    for (step, kind) in [
        (Step::Fails(ErrorKind::BrokenPipe), ErrorKind::BrokenPipe),
        (Step::Bytes(0), ErrorKind::WriteZero),
    ] {
        let mut outgoing = Outgoing::default();
        outgoing.push(&signal(1)).unwrap();
        let mut wire = Descriptor::new([step], b"");
        assert_eq!(outgoing.write_to(&mut wire).unwrap_err().kind(), kind);
        assert!(!outgoing.is_empty());
    }
    let mut wire = Descriptor::new([Step::Fails(ErrorKind::ConnectionReset)], b"");
    let error = Incoming::default().read_from(&mut wire).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_descriptor_with_nothing_is_no_end_and_an_interrupted_one_is_asked_again() {
    let mut wire = Descriptor::new(
        [
            Step::Fails(ErrorKind::WouldBlock),
            Step::Fails(ErrorKind::Interrupted),
            Step::Bytes(2),
        ],
        b"ab\n",
    );
    let mut incoming = Incoming::default();
    assert_eq!(incoming.read_from(&mut wire).unwrap(), Arrived::Nothing);
    assert_eq!(incoming.read_from(&mut wire).unwrap(), Arrived::Bytes(2));
    assert_eq!(wire.calls, 3);
}

#[test]
fn last_words_come_before_the_end_and_a_half_line_at_the_end_is_none() {
    let mut bytes = encode(&signal(1)).unwrap();
    bytes.extend(b"{\"type\":\"signal\",\"id\":1,\"signal\":15}");
    let mut wire = Descriptor::new([], &bytes);
    let mut incoming = Incoming::default();
    let arrived = Arrived::Bytes(bytes.len());
    assert_eq!(incoming.read_from(&mut wire).unwrap(), arrived);
    assert_eq!(incoming.read_from(&mut wire).unwrap(), Arrived::End);
    assert_eq!(heard(&mut incoming), [Ok(signal(1))]);
    assert_eq!(incoming.message::<Request>(), Ok(None));
    assert_eq!(incoming.read_from(&mut wire).unwrap(), Arrived::End);
}

#[test]
fn a_server_goes_on_after_what_it_does_not_understand_and_a_client_has_to_understand_all() {
    let lines = [
        b"{\"type\":\"pause\"}\n".to_vec(),
        encode(&signal(1)).unwrap(),
    ]
    .concat();
    let mut incoming = Incoming::default();
    incoming.push(&lines);
    let got = heard(&mut incoming);
    let [Err(why), Ok(request)] = &got[..] else {
        panic!("{got:?}");
    };
    assert!(why.contains("`pause`"), "{why}");
    assert_eq!(*request, signal(1));
    incoming.push(&lines);
    let refused = incoming.message::<Request>();
    assert!(
        matches!(refused, Err(ProtocolError::NotUnderstood(_))),
        "{refused:?}"
    );
    // An event of a later version is one that a client understands as such.
    let mut events = Incoming::default();
    events.push(b"{\"type\":\"news\",\"of\":1}\n");
    assert_eq!(events.message(), Ok(Some(Event::Unknown)));
}

#[test]
fn who_does_not_speak_the_protocol_is_heard_until_then() {
    let mut incoming = Incoming::default();
    incoming.push(&encode(&signal(1)).unwrap());
    incoming.push(b"login: \n");
    assert_eq!(incoming.hear(), Ok(Some(Ok(signal(1)))));
    let refused = incoming.hear::<Request>();
    assert!(
        matches!(refused, Err(ProtocolError::Malformed(_))),
        "{refused:?}"
    );
}

#[test]
fn a_line_without_end_is_refused_as_soon_as_it_is_too_long() {
    let mut incoming = Incoming::default();
    incoming.push(&vec![b' '; MAX_LINE - 1]);
    assert_eq!(incoming.message::<Request>(), Ok(None));
    incoming.push(b"  ");
    assert_eq!(incoming.message::<Request>(), Err(ProtocolError::TooLong));
    // One of the longest is none too long.
    let mut incoming = Incoming::default();
    incoming.push(&encode(&long(MAX_LINE)).unwrap());
    assert_eq!(incoming.message(), Ok(Some(long(MAX_LINE))));
}

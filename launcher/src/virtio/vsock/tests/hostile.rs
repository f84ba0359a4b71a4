// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guests that break the rules, or flood.

use proptest::prelude::*;

use super::*;
use crate::backend::unix_sockets::ToHost;

#[test]
fn a_guest_that_sends_more_than_it_was_promised_loses_the_connection() {
    let mut bench = Bench::new();
    let (ports, mut stream) = bench.connected(52);
    let deadline = Instant::now() + LATE;
    loop {
        bench.send(ports, op::RW, &[1; 4000]);
        if bench.got().iter().any(|got| got.header.op == op::RST) {
            break;
        }
        assert!(Instant::now() < deadline);
    }
    let mut bytes = Vec::new();
    let taken = stream.read_to_end(&mut bytes).unwrap();
    assert!(taken > BUFFER as usize);
    assert!(bench.device().connections.is_empty());
    // A packet that is more than a buffer at once.
    let (ports, _stream) = bench.connected(54);
    let large = Header {
        op: op::RW,
        len: u32::MAX,
        ..header(ports)
    };
    bench.put(large, &[]);
    assert_eq!(bench.ops(), [op::RST]);
    assert!(!bench.driver.needs_reset());
}

#[test]
fn room_that_cannot_be_gets_no_data() {
    let mut bench = Bench::new();
    let (ports, mut stream) = bench.connected(52);
    for fwd_cnt in [1, 0x8000_0000, u32::MAX] {
        let bogus = Header {
            op: op::CREDIT_UPDATE,
            fwd_cnt,
            buf_alloc: 10,
            ..header(ports)
        };
        bench.put(bogus, &[]);
        let _ = bench.got();
        stream.write_all(b"data").unwrap();
        bench.driver.poll();
        let got = bench.got();
        let data: usize = got.iter().map(|got| got.data.len()).sum();
        // One byte "taken" that was never sent: more is under way than there is room.
        assert!(data <= 10, "{fwd_cnt} {got:?}");
    }
}

#[test]
fn packets_that_make_no_sense_are_refused() {
    let mut bench = Bench::new();
    let unknown = Ports { host: 1, guest: 2 };
    for op in [
        op::RW,
        op::RESPONSE,
        op::SHUTDOWN,
        op::CREDIT_REQUEST,
        0,
        77,
    ] {
        bench.send(unknown, op, &[]);
        assert_eq!(bench.ops(), [op::RST], "{op}");
    }
    bench.send(unknown, op::RST, &[]);
    for elsewhere in [
        Header {
            dst_cid: 7,
            op: op::REQUEST,
            ..header(unknown)
        },
        Header {
            src_cid: HOST,
            op: op::RW,
            ..header(unknown)
        },
    ] {
        bench.put(elsewhere, &[]);
    }
    bench.driver.poll();
    assert!(bench.got().is_empty());
    for op in [op::REQUEST, op::RESPONSE, 0, 77] {
        let (ports, _stream) = bench.connected(100 + u32::from(op));
        bench.send(ports, op, &[]);
        assert_eq!(bench.ops(), [op::RST], "{op}");
    }
    let datagram = Header {
        kind: 3,
        op: op::REQUEST,
        ..header(unknown)
    };
    bench.put(datagram, &[]);
    assert_eq!(bench.ops(), [op::RST]);
    // No whole header; less data than the header says.
    bench.driver.offer(TRANSMIT, &[(BUFFERS, 43, 0)]);
    bench.driver.notify(TRANSMIT);
    assert!(bench.driver.needs_reset());
    let mut bench = Bench::new();
    let (ports, _stream) = bench.connected(52);
    let short = Header {
        op: op::RW,
        len: 100,
        ..header(ports)
    };
    bench.put(short, &[0; 99]);
    assert!(bench.driver.needs_reset());
}

#[test]
fn floods_are_bounded() {
    let mut bench = Bench::new();
    let listener = bench.listen(52);
    listener.set_nonblocking(true).unwrap();
    let mut streams = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    for guest in 0..300 {
        bench.send(Ports { host: 52, guest }, op::REQUEST, &[]);
        while let Ok((stream, _)) = listener.accept() {
            streams.push(stream);
        }
        for got in bench.got() {
            match got.header.op {
                op::RESPONSE => accepted += 1,
                op::RST => refused += 1,
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!((accepted, refused), (CONNECTIONS, 300 - CONNECTIONS));
    // Clients of the host have no room then.
    let mut client = bench.client("CONNECT 1\n");
    // It is let in, says what it wants, and is sent away.
    for _ in 0..3 {
        bench.driver.poll();
    }
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    // A guest that takes no refusals is not listened to any more.
    let host = UnixSockets::listen(&bench.dir.path().join("other"), ToHost::Connected).unwrap();
    let mut deaf = Bench {
        driver: Driver::new(Vsock::new(host)),
        dir: tempfile::tempdir().unwrap(),
        offered: 0,
    };
    for guest in 0..400 {
        if guest < 128 + 100 {
            deaf.send(Ports { host: 1, guest }, op::RW, &[]);
        }
        deaf.driver.poll();
    }
    assert_eq!(deaf.device().resets.len(), usize::from(QUEUE_SIZE));
    assert_eq!(deaf.driver.used(TRANSMIT).len(), usize::from(QUEUE_SIZE));
    // Until it does.
    let mut count = 0;
    let deadline = Instant::now() + LATE;
    while count < 228 {
        assert!(Instant::now() < deadline);
        deaf.offer(16);
        while deaf.driver.take_more() {
            deaf.driver.poll();
        }
        count += deaf.driver.used(RECEIVE).len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_packets_break_the_device(
        packets in prop::collection::vec(
            (52u32..56, 1u32..4, 0u16..9, any::<u32>(), 0u32..200_000, any::<u32>(), 0usize..3000, any::<bool>()),
            1..100,
        )
    ) {
        let mut bench = Bench::new();
        let listener = bench.listen(52);
        listener.set_nonblocking(true).unwrap();
        let mut streams = Vec::new();
        for (host, guest, op, flags, buf_alloc, fwd_cnt, size, speak) in packets {
            let header = Header {
                op,
                flags,
                buf_alloc,
                fwd_cnt,
                len: size as u32,
                ..header(Ports { host, guest })
            };
            bench.put(header, &vec![3; size]);
            while let Ok((stream, _)) = listener.accept() {
                streams.push(stream);
            }
            if speak {
                for stream in &mut streams {
                    let _ = stream.write(b"hello");
                }
            }
            bench.driver.poll();
            let _ = bench.got();
            let device = bench.device();
            prop_assert!(device.connections.len() <= 12);
            prop_assert_eq!(device.connections.len(), device.tokens.len());
            prop_assert!(device.waiting.len() <= device.connections.len());
        }
        prop_assert!(!bench.driver.needs_reset());
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The socket device between real sockets of the host and drivers that are right; [`hostile`] ones are not.

mod hostile;

use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::connection::BUFFER;
use super::packet::{NO_RECEIVE, NO_SEND};
use super::*;
use crate::backend::unix_sockets::{ToHost, UnixSockets};
use crate::virtio::testing::{Driver, WRITE};

const BUFFERS: u64 = 0x20_0000;
const RECEIVED: u64 = 0x40_0000;
const ROOM: u32 = 4096;
const LATE: Duration = Duration::from_secs(20);

/// A guest's driver, and the directory of the host's sockets.
struct Bench {
    driver: Driver<Vsock<UnixSockets>>,
    dir: TempDir,
    offered: u64,
}

/// A packet that the guest got.
#[derive(Debug, PartialEq)]
struct Got {
    header: Header,
    data: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        Self::with(ToHost::Connected)
    }

    fn with(to_host: ToHost) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = UnixSockets::listen(&dir.path().join("vsock"), to_host).unwrap();
        let mut bench = Bench {
            driver: Driver::new(Vsock::new(host)),
            dir,
            offered: 0,
        };
        bench.offer(32);
        bench
    }

    fn offer(&mut self, count: usize) {
        for _ in 0..count {
            let at = RECEIVED + u64::from(ROOM) * (self.offered % 128);
            self.driver.offer(RECEIVE, &[(at, ROOM, WRITE)]);
            self.offered += 1;
        }
        self.driver.notify(RECEIVE);
    }

    fn listen(&self, port: u32) -> UnixListener {
        UnixListener::bind(self.dir.path().join(format!("vsock_{port}"))).unwrap()
    }

    /// A client of the host's that asks for a port of the guest.
    fn client(&self, line: &str) -> UnixStream {
        let mut client = UnixStream::connect(self.dir.path().join("vsock")).unwrap();
        client.write_all(line.as_bytes()).unwrap();
        client
    }

    /// Sends a packet, without a look at what comes back.
    fn put(&mut self, header: Header, data: &[u8]) {
        let mut bytes = header.encode().to_vec();
        bytes.extend(data);
        self.driver.put(BUFFERS, &bytes);
        self.driver
            .offer(TRANSMIT, &[(BUFFERS, bytes.len() as u32, 0)]);
        self.driver.notify(TRANSMIT);
    }

    fn send(&mut self, ports: Ports, op: u16, data: &[u8]) {
        let header = Header {
            op,
            len: data.len() as u32,
            ..header(ports)
        };
        self.put(header, data);
    }

    /// What the guest has got now.
    fn got(&mut self) -> Vec<Got> {
        let used = self.driver.used(RECEIVE);
        self.offer(used.len());
        used.into_iter()
            .map(|(head, length)| {
                // One descriptor a buffer, used in order.
                let at = RECEIVED + u64::from(ROOM) * u64::from(head);
                let bytes = self.driver.bytes(at, length as usize);
                let header = Header::decode(bytes[..SIZE].try_into().unwrap());
                Got {
                    header,
                    data: bytes[SIZE..].to_vec(),
                }
            })
            .collect()
    }

    /// The next packets, once there are some.
    fn next(&mut self) -> Vec<Got> {
        let deadline = Instant::now() + LATE;
        loop {
            self.driver.poll();
            let got = self.got();
            if !got.is_empty() {
                return got;
            }
            assert!(Instant::now() < deadline, "no packet");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn ops(&mut self) -> Vec<u16> {
        self.next().iter().map(|got| got.header.op).collect()
    }

    fn device(&self) -> &Vsock<UnixSockets> {
        &self.driver.transport.device
    }

    /// A connection that the guest asked for.
    fn connected(&mut self, host: u32) -> (Ports, UnixStream) {
        let ports = Ports { host, guest: 9 };
        let listener = self.listen(host);
        self.send(ports, op::REQUEST, &[]);
        assert_eq!(self.ops(), [op::RESPONSE]);
        (ports, listener.accept().unwrap().0)
    }
}

fn header(ports: Ports) -> Header {
    Header {
        src_cid: GUEST,
        dst_cid: HOST,
        src_port: ports.guest,
        dst_port: ports.host,
        kind: STREAM,
        buf_alloc: 64 << 10,
        ..Header::default()
    }
}

#[test]
fn a_client_of_the_host_speaks_with_the_guest() {
    let mut bench = Bench::new();
    let mut client = bench.client("CONNECT 1024\nearly");
    let got = bench.next();
    let request = got[0].header;
    assert_eq!((request.op, request.len, request.buf_alloc), (1, 0, BUFFER));
    assert_eq!((request.src_cid, request.dst_cid), (HOST, GUEST));
    assert_eq!((request.src_port, request.dst_port), (FIRST_PORT, 1024));
    assert_eq!(got.len(), 1, "nothing before the guest accepts");
    let ports = Ports {
        host: FIRST_PORT,
        guest: 1024,
    };
    bench.send(ports, op::RESPONSE, &[]);
    let got = bench.next();
    assert_eq!((got[0].header.op, &*got[0].data), (op::RW, &b"early"[..]));
    bench.send(ports, op::RW, b"answer");
    let mut text = [0; 20];
    client.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"OK 1073741824\nanswer");
    // The end of the client's output, and then of the guest's.
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let got = bench.next();
    assert_eq!(
        (got[0].header.op, got[0].header.flags),
        (op::SHUTDOWN, NO_SEND)
    );
    bench.send(ports, op::RW, b"last");
    let end = Header {
        op: op::SHUTDOWN,
        flags: NO_SEND | NO_RECEIVE,
        ..header(ports)
    };
    bench.put(end, &[]);
    assert_eq!(bench.ops(), [op::RST]);
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "last");
    assert!(bench.device().connections.is_empty() && bench.device().tokens.is_empty());
}

#[test]
fn a_client_that_the_guest_refuses_or_that_asks_for_nothing_is_sent_away() {
    let mut bench = Bench::new();
    let mut refused = bench.client("CONNECT 5\n");
    let request = bench.next()[0].header;
    let ports = Ports {
        host: request.src_port,
        guest: 5,
    };
    bench.send(ports, op::RST, &[]);
    let mut bytes = Vec::new();
    assert_eq!(refused.read_to_end(&mut bytes).unwrap(), 0);
    for line in [
        "CONNECT x\n",
        "CONNECT 4294967296\n",
        "connect 5\n",
        "\n",
        &"C".repeat(64),
    ] {
        let mut client = bench.client(line);
        client.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + LATE;
        // A reset, if there was more than is read.
        while matches!(client.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        {
            bench.driver.poll();
            assert!(Instant::now() < deadline, "{line}");
        }
    }
    assert!(bench.got().is_empty());
    assert!(bench.device().connections.is_empty());
}

#[test]
fn the_guest_reaches_a_socket_that_somebody_listens_on() {
    let mut bench = Bench::new();
    let (ports, mut stream) = bench.connected(52);
    bench.send(ports, op::RW, b"to the host");
    let mut text = [0; 11];
    stream.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"to the host");
    stream.write_all(b"to the guest").unwrap();
    assert_eq!(bench.next()[0].data, b"to the guest");
    drop(stream);
    assert_eq!(bench.ops(), [op::SHUTDOWN]);
    // Nobody reads any more.
    bench.send(ports, op::RW, b"x");
    assert_eq!(bench.ops(), [op::RST]);
    let nobody = Ports { host: 53, guest: 9 };
    bench.send(nobody, op::REQUEST, &[]);
    let got = bench.next();
    assert_eq!((got[0].header.op, got[0].header.src_port), (op::RST, 53));
}

#[test]
fn where_it_may_connect_to_nobody_the_guest_is_refused_though_somebody_listens() {
    let mut bench = Bench::with(ToHost::Refused);
    let listener = bench.listen(52);
    listener.set_nonblocking(true).unwrap();
    let ports = Ports {
        host: 52,
        guest: 1000,
    };
    bench.send(ports, op::REQUEST, &[]);
    assert_eq!(bench.ops(), [op::RST]);
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn clients_that_say_nothing_do_not_keep_others_out() {
    let mut bench = Bench::new();
    let mut silent: Vec<_> = (0..40).map(|_| bench.client("")).collect();
    bench.driver.poll();
    let _client = bench.client("CONNECT 7\n");
    assert_eq!(bench.ops(), [op::REQUEST]);
    // Those that have waited longest have gone.
    assert_eq!(silent[0].read(&mut [0]).unwrap(), 0);
    silent[39].set_nonblocking(true).unwrap();
    let error = silent[39].read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn each_side_sends_no_more_than_the_other_has_room_for() {
    let mut bench = Bench::new();
    let (ports, mut stream) = bench.connected(52);
    // The guest says that it has room for 100 bytes.
    let small = Header {
        op: op::CREDIT_UPDATE,
        buf_alloc: 100,
        ..header(ports)
    };
    bench.put(small, &[]);
    stream.write_all(&[7; 5000]).unwrap();
    let got = bench.next();
    assert_eq!((got[0].header.op, got[0].data.len()), (op::RW, 100));
    assert_eq!(got[1].header.op, op::CREDIT_REQUEST);
    assert_eq!(got.len(), 2);
    bench.driver.poll();
    assert!(bench.got().is_empty(), "asked once");
    let more = Header {
        fwd_cnt: 100,
        buf_alloc: 5000,
        ..small
    };
    bench.put(more, &[]);
    let count: usize = bench.next().iter().map(|got| got.data.len()).sum();
    assert_eq!(count, 4900);
    // The host does not read; the guest fills the socket and then what was promised.
    let mut sent = 0u32;
    let mut told = 0;
    loop {
        let left = BUFFER - (sent - told);
        if left == 0 {
            break;
        }
        let count = left.min(2048);
        bench.send(ports, op::RW, &vec![1; count as usize]);
        sent += count;
        for got in bench.got() {
            assert_eq!(got.header.op, op::CREDIT_UPDATE);
            told = got.header.fwd_cnt;
        }
    }
    let kept = sent - told;
    assert_eq!(kept, BUFFER);
    let mut all = vec![0; sent as usize];
    let mut reader = stream.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        reader.read_exact(&mut all).unwrap();
        all
    });
    while told != sent {
        for got in bench.next() {
            told = got.header.fwd_cnt;
        }
        bench.send(ports, op::CREDIT_REQUEST, &[]);
    }
    assert!(thread.join().unwrap().iter().all(|&byte| byte == 1));
}

#[test]
fn what_was_sent_before_the_guest_said_its_end_is_there_for_a_slow_reader() {
    for reads in [true, false] {
        let mut bench = Bench::new();
        let (ports, mut stream) = bench.connected(52);
        let mut sent = 0;
        loop {
            bench.send(ports, op::RW, &[7; 8192]);
            sent += 8192;
            let connection = bench.device().connections.values().next().unwrap();
            if connection.promised() < BUFFER {
                break;
            }
        }
        let end = Header {
            op: op::SHUTDOWN,
            flags: NO_SEND | NO_RECEIVE,
            ..header(ports)
        };
        bench.put(end, &[]);
        // Linux waits for 8 seconds, and not for the reader.
        bench.send(ports, op::RST, &[]);
        // The ports are free, and the connection is not; nothing comes of that one any more.
        assert!(bench.device().tokens.is_empty());
        assert_eq!(bench.device().connections.len(), 1);
        bench.send(ports, op::RW, &[8; 16]);
        if reads {
            // All that the stream had taken, which makes room for the rest.
            let rest = BUFFER as usize;
            let mut bytes = vec![0; sent - rest];
            stream.read_exact(&mut bytes).unwrap();
            bench.driver.notify(TRANSMIT);
            stream.read_to_end(&mut bytes).unwrap();
            assert!(bytes.len() == sent && bytes.iter().all(|&byte| byte == 7));
        } else {
            drop(stream);
            bench.driver.notify(TRANSMIT);
        }
        assert!(bench.device().connections.is_empty(), "reads: {reads}");
    }
}

#[test]
fn a_reset_closes_every_connection() {
    let mut bench = Bench::new();
    let (_, mut stream) = bench.connected(52);
    bench.driver.write(0x70, 0);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(bench.device().connections.is_empty() && bench.device().waiting.is_empty());
}

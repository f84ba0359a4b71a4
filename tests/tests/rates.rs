// SPDX-License-Identifier: MIT OR Apache-2.0

//! Containers whose disks and network are no faster than they may be, by the container's own clock.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener};
use std::thread;

use cki_tests::{cki, our_address, run_on};

/// What a container measured, in milliseconds, a number a line.
fn times(options: &[&str], command: &[&str]) -> Vec<u64> {
    let output = run_on("cki", options, command, b"");
    assert_eq!(output.status, 0, "{}{}", output.text(), output.stderr);
    let number = |line: &str| line.parse().expect("a number");
    output.text().lines().map(number).collect()
}

#[test]
fn a_disk_is_no_faster_than_it_may_be_and_its_other_direction_as_fast_as_it_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(32 << 20).unwrap();
    let disk = |limits: &str| format!("{}:{limits}", file.path().display());
    // Of 8 MiB, 2 are at once; of 60 requests, 20. Each reading and writing.
    let script = "set -e
        now() { date +%s%N; }
        took() { echo $((($(now) - start) / 1000000)); }
        move() { start=$(now); dd bs=$1 count=$2 status=none ${@:3}; took; }
        move 64K 128 if=/dev/zero of=/dev/vdb oflag=direct
        move 64K 128 if=/dev/vdb of=/dev/null iflag=direct
        move 4K 60 if=/dev/zero of=/dev/vdb oflag=direct
        move 4K 60 if=/dev/vdb of=/dev/null iflag=direct";
    let measured = |limits: &str| {
        let disk = disk(limits);
        let options = ["--network", "none", "--disk", &disk];
        let measured = times(&options, &["bash", "-c", script]);
        <[u64; 4]>::try_from(measured).expect("four numbers")
    };
    // What is not limited takes a fraction of that even in an emulator.
    let [write, read, _, _] = measured("write-bps=2M");
    assert!((2900..30_000).contains(&write), "{write} ms");
    assert!(read < write / 2, "{read} and {write} ms");
    let [_, _, write, read] = measured("read-iops=20");
    assert!((1900..30_000).contains(&read), "{read} ms");
    assert!(write < read / 2, "{write} and {read} ms");
}

/// Bytes that a connection moves.
const BYTES: usize = 4 << 20;

/// A server that sends or takes so much, whichever it is asked for; its port.
fn server(address: IpAddr) -> u16 {
    let listener = TcpListener::bind((address, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut word = [0];
            let _ = connection.read_exact(&mut word);
            let _ = match word {
                [b'd'] => connection.write_all(&vec![1; BYTES]),
                _ => connection
                    .read_exact(&mut vec![0; BYTES])
                    .and_then(|()| connection.write_all(b"!")),
            };
        }
    });
    port
}

const MOVE: &str = "
import socket, sys, time
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for word in b'd', b'u':
    with socket.create_connection((address, port), 30) as s:
        start = time.monotonic()
        s.sendall(word + (bytes(count) if word == b'u' else b''))
        got = 0
        while got < (count if word == b'd' else 1):
            data = s.recv(1 << 16)
            if not data: sys.exit('it ended')
            got += len(data)
        print(int((time.monotonic() - start) * 1000))
";

/// How often the direction without a limit may be slow.
const TRIES: u32 = 4;

#[test]
fn a_network_is_no_faster_than_it_may_be_and_its_other_direction_as_fast_as_it_is() {
    let us = our_address();
    let port = server(us);
    let measured = |option: &str| {
        let options = ["--deb", "python3", option, "1M"];
        let words = [us.to_string(), port.to_string(), BYTES.to_string()];
        let command = ["python3", "-c", MOVE, &words[0], &words[1], &words[2]];
        <[u64; 2]>::try_from(times(&options, &command)).expect("two numbers")
    };
    // 4 MiB, of which 1 is at once: the direction with a limit takes 3 seconds, whatever else the computer does. The
    // other one is quicker, but not each time on a busy computer; with a limit it could never be.
    for (option, limited) in [("--ingress-rate", 0), ("--egress-rate", 1)] {
        let is_quicker = (0..TRIES).any(|_| {
            // Down and up. What the kernel of the container has taken and not yet sent, the program does not wait for;
            // the answer it does.
            let times = measured(option);
            let [slow, quick] = [times[limited], times[1 - limited]];
            assert!((2900..60_000).contains(&slow), "{option}: {slow} ms");
            quick < slow
        });
        assert!(is_quicker, "{option}: the other direction is no quicker");
    }
}

#[test]
fn rates_are_about_containers() {
    for (option, value, part) in [
        ("--disk", "nosuch:read-bps=fast", "read-bps: expected"),
        ("--egress-rate", "0", "at least 1"),
    ] {
        let output = cki(["run", option, value, "--", "true"]);
        assert_eq!(output.status, 125, "{}", output.stderr);
        assert!(output.stderr.contains(part), "{}", output.stderr);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(512).unwrap();
    let disk = format!("{}:read-iops=1", file.path().display());
    for words in [["--disk", &disk], ["--egress-rate", "1M"]] {
        let output = run_on("native", &words, &["true"], b"");
        assert_eq!(output.status, 125, "{}", output.stderr);
        assert!(output.stderr.contains("container"), "{}", output.stderr);
    }
}

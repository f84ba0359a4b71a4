// SPDX-License-Identifier: MIT OR Apache-2.0

//! Streams between pipes and sockets, which behave like the ports of a machine.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;

use cki_init::program::pump::{Pump, non_blocking};
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollTimeout, poll};

/// Polls and advances until the pump is done; how often, to see that it does not spin.
fn drive(pump: &mut Pump) -> usize {
    let mut rounds = 0;
    while let Some((fd, flags)) = pump.interest() {
        let mut fds = [PollFd::new(fd, flags)];
        let ready = poll(&mut fds, PollTimeout::from(10_000_u16)).unwrap();
        assert_eq!(ready, 1, "the pump waits for something that never comes");
        let seen = fds[0].revents().unwrap();
        pump.advance(seen);
        rounds += 1;
    }
    rounds
}

fn file(end: impl Into<OwnedFd>) -> File {
    non_blocking(end.into()).unwrap()
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| ((index * 7919) >> 3) as u8)
        .collect()
}

#[test]
fn ten_megabytes_arrive_in_order_through_a_slow_reader() {
    let sent = bytes(10_000_000);
    let (source, mut feed) = UnixStream::pair().unwrap();
    let (drain, sink) = nix::unistd::pipe().unwrap();
    let expected = sent.clone();
    let writer = thread::spawn(move || feed.write_all(&sent).unwrap());
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        File::from(drain).read_to_end(&mut got).unwrap();
        got
    });
    let mut pump = Pump::new(file(source), file(sink));
    drive(&mut pump);
    assert!(pump.is_done());
    drop(pump);
    writer.join().unwrap();
    assert!(reader.join().unwrap() == expected);
}

#[test]
fn end_of_file_closes_the_sink() {
    let (source, feed) = nix::unistd::pipe().unwrap();
    let (drain, sink) = nix::unistd::pipe().unwrap();
    drop(feed);
    let rounds = drive(&mut Pump::new(file(source), file(sink)));
    assert!(rounds <= 3, "{rounds} rounds for nothing");
    assert_eq!(File::from(drain).read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_sink_that_nobody_reads_closes_the_source() {
    let (source, feed) = nix::unistd::pipe().unwrap();
    let (drain, sink) = UnixStream::pair().unwrap();
    let mut feed = File::from(feed);
    feed.write_all(b"lost").unwrap();
    drop(drain);
    drive(&mut Pump::new(file(source), file(sink)));
    // What a program that goes on writing sees (it gets SIGPIPE; the test harness ignores it).
    let error = feed.write_all(b"more").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

#[test]
fn a_full_sink_is_waited_for_and_not_spun_on() {
    let (source, feed) = nix::unistd::pipe().unwrap();
    let (drain, sink) = nix::unistd::pipe().unwrap();
    File::from(feed).write_all(&bytes(60_000)).unwrap();
    let mut pump = Pump::new(file(source), file(sink.try_clone().unwrap()));
    let mut full = file(sink);
    while full.write(&[0; 4096]).is_ok() {}
    drop(full);
    pump.advance(nix::poll::PollFlags::POLLIN);
    let (fd, flags) = pump.interest().unwrap();
    assert_eq!(
        poll(&mut [PollFd::new(fd, flags)], PollTimeout::ZERO).unwrap(),
        0
    );
    let mut first = [0; 4096];
    File::from(drain).read_exact(&mut first).unwrap();
    let (fd, flags) = pump.interest().unwrap();
    assert_eq!(
        poll(&mut [PollFd::new(fd, flags)], PollTimeout::ZERO).unwrap(),
        1
    );
}

#[test]
fn what_is_left_of_more_than_may_be_copied_at_once_is_told() {
    const LIMIT: u64 = 64 << 10;
    let (source, feed) = nix::unistd::pipe().unwrap();
    let room = fcntl(&feed, FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap() as u64;
    // A source that has not ended, and a sink that takes all.
    let mut feed = File::from(feed);
    feed.write_all(&bytes(room as usize)).unwrap();
    let sink = File::options().write(true).open("/dev/null").unwrap();
    let mut pump = Pump::new(file(source), sink);
    let mut turns = 1;
    while !pump.copy_what_is_there(LIMIT) {
        assert!(pump.written() <= room);
        turns += 1;
    }
    assert_eq!(pump.written(), room);
    assert!(turns > room / (2 * LIMIT), "{turns} turns");
    // Nothing more was written, which is not to be taken for something left.
    assert!(pump.copy_what_is_there(LIMIT) && !pump.waits_for_sink());
}

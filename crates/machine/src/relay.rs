// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copying between the machine's ports and our streams, and reading its messages.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use cki_session::{Arrived, Event, Incoming};

use super::meter::Meter;

/// How a relay of the program's output ended.
#[derive(Debug)]
pub enum Relayed {
    /// The machine closed the port.
    End,
    /// Nobody reads our stream any more.
    BrokenPipe,
    /// Our stream cannot be written for another reason.
    Failed(io::Error),
}

/// Copies output of the program to `to` as it comes, and counts it; `first` is told when its first byte has come,
/// `complete` when all that is expected was taken.
pub fn output(
    mut from: UnixStream,
    to: &mut dyn Write,
    meter: &Meter,
    mut first: impl FnMut(Instant),
    mut complete: impl FnMut(),
) -> Relayed {
    let mut buffer = vec![0; 64 << 10];
    let mut any = false;
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Relayed::End,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // QEMU was killed with something of ours unread; there is no more to come.
            Err(_) => return Relayed::End,
        };
        if !any {
            first(Instant::now());
            any = true;
        }
        meter.begin();
        if let Err(error) = to.write_all(&buffer[..n]).and_then(|()| to.flush()) {
            return if error.kind() == io::ErrorKind::BrokenPipe {
                Relayed::BrokenPipe
            } else {
                Relayed::Failed(error)
            };
        }
        if meter.add(n) {
            complete();
        }
    }
}

/// Reads and forgets what is left, so that the program does not wait for a reader that it will never get.
pub fn drain(mut from: UnixStream) {
    // The machine is about to end in any case; how the port ends does not matter.
    let _ = io::copy(&mut from, &mut io::sink());
}

/// Copies our input to the machine and then, once `started` says so or nobody is left to say it, ends its stream in
/// this direction only; the caller keeps the socket open.
///
/// Init cannot tell a port that ended before it looked from one that is being connected, and would wait for it.
pub fn input(from: &mut dyn Read, mut to: UnixStream, started: &Receiver<()>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                if to.write_all(&buffer[..n]).is_err() {
                    return; // The machine is gone.
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A closed or unreadable standard input is an empty one, as for a program started here.
            Err(_) => break,
        }
    }
    let _ = started.recv();
    let _ = to.shutdown(Shutdown::Write);
}

/// Reads messages until the port ends, handing each to `on`; an error is a breach of the protocol.
pub fn messages(mut from: UnixStream, mut on: impl FnMut(Event)) -> Result<(), String> {
    let mut incoming = Incoming::default();
    loop {
        match incoming.read_from(&mut from) {
            Ok(Arrived::Bytes(_)) => {}
            // QEMU was killed with something of ours unread, for one; a port that waits always has something, or ends.
            Ok(Arrived::End | Arrived::Nothing) | Err(_) => return Ok(()),
        }
        while let Some(event) = incoming.message().map_err(|error| error.to_string())? {
            on(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn end_of_input_ends_one_direction_only() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let keep = ours.try_clone().expect("a clone");
        let (started, waiting) = mpsc::channel();
        let relay = thread::spawn(move || input(&mut &b"abc"[..], ours, &waiting));
        let (mut text, limit) = ([0; 4], Duration::from_millis(20));
        theirs.read_exact(&mut text[..3]).expect("all of it");
        theirs.set_read_timeout(Some(limit)).expect("a limit");
        let early = theirs.read(&mut text).expect_err("no end before the start");
        assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
        started.send(()).expect("it waits");
        relay.join().expect("no panic");
        assert_eq!(theirs.read(&mut text).expect("an end"), 0);
        assert_eq!(text, *b"abc\0");
        theirs.write_all(b"x").expect("the other direction is open");
        drop(keep);
    }

    #[test]
    fn a_line_that_is_no_message_is_a_breach() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        theirs
            .write_all(b"{\"type\":\"started\",\"id\":1,\"pid\":2,\"isolation\":\"none\"}\nLinux version\n")
            .expect("written");
        drop(theirs);
        let mut seen = Vec::new();
        let result = messages(ours, |message| seen.push(message));
        let started = Event::Started {
            id: cki_session::ProcessId::MAIN,
            pid: 2,
            isolation: cki_session::Isolation::None,
        };
        assert_eq!(seen, [started]);
        assert!(result.is_err());
    }

    #[test]
    fn output_that_nobody_reads_is_told_apart_from_a_failure() {
        struct Closed(io::ErrorKind);
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (kind, broken) in [
            (io::ErrorKind::BrokenPipe, true),
            (io::ErrorKind::StorageFull, false),
        ] {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            theirs.write_all(b"x").expect("written");
            let result = output(ours, &mut Closed(kind), &Meter::default(), |_| {}, || {});
            assert_eq!(matches!(result, Relayed::BrokenPipe), broken, "{result:?}");
        }
    }
}

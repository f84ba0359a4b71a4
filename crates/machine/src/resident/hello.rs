// SPDX-License-Identifier: MIT OR Apache-2.0

//! The hello of a process that serves a place, looked at before a client gets the place.
//!
//! It is what makes it certain that the client meets a process of its own: the process says it once, at its start, when
//! nothing of the last session is left. So nothing but a hello is an answer, and there is no output before a program.

use std::io;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use cki_session::{Event, decode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};

/// Bytes that a hello has at most.
const SIZE_MAX: usize = 16 << 10;
/// Between two looks at one that is not complete.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Waits for the hello on the ports of a place ([`cki_session::port::ALL`], or the first of them, if more could not be
/// connected), and gives its generation. It stays
/// unread, for the client. Without a limit it is waited for until the ports end.
pub(super) fn wait(ports: &[UnixStream], limit: Option<Duration>) -> io::Result<u64> {
    let Some((control, others)) = ports.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let outputs = others.get(1..).unwrap_or_default();
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut bytes = vec![0; SIZE_MAX];
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = left.map(Timespec::try_from).transpose();
        let left = left.map_err(io::Error::other)?;
        let mut fds = [PollFd::new(control, PollFlags::IN)];
        match poll(&mut fds, left.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            ready => ready?,
        };
        let count = peek(control, &mut bytes)?.unwrap_or(0);
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut lines = bytes[..count].split_inclusive(|&byte| byte == b'\n');
        match lines.next().filter(|line| line.ends_with(b"\n")) {
            Some(line) => {
                let generation = generation(line)?;
                return nothing_else(outputs).map(|()| generation);
            }
            None if count == SIZE_MAX => return Err(nonsense("something else than a hello")),
            None => thread::sleep(LOOK_AGAIN),
        }
    }
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it says {what}"))
}

/// What has come and is not read; `None` when nothing has.
fn peek(socket: &UnixStream, bytes: &mut [u8]) -> io::Result<Option<usize>> {
    match recv(socket, bytes, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((count, _)) => Ok(Some(count)),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn generation(line: &[u8]) -> io::Result<u64> {
    match decode(line) {
        Ok(Event::Hello(hello)) => hello
            .generation
            .ok_or_else(|| nonsense("a hello without a generation")),
        _ => Err(nonsense("something else than a hello")),
    }
}

/// Nobody has written what this place's program would write, nor have the ports ended.
fn nothing_else(outputs: &[UnixStream]) -> io::Result<()> {
    for output in outputs {
        match peek(output, &mut [0])? {
            None => {}
            Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(_) => return Err(nonsense("what another program has written")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use cki_session::{Hello, Outcome, ProcessId, encode, port};

    use super::*;

    /// A supervisor's ends of a place's ports, and the machine's.
    fn ports() -> (Vec<UnixStream>, Vec<UnixStream>) {
        let pairs = port::ALL.map(|_| UnixStream::pair().unwrap());
        pairs.into_iter().unzip()
    }

    fn hello(generation: u64) -> Vec<u8> {
        let hello = Hello {
            generation: Some(generation),
            ..Hello::new(&[], "6.12")
        };
        encode(&Event::Hello(hello)).unwrap()
    }

    const SOON: Option<Duration> = Some(Duration::from_millis(50));

    #[test]
    fn a_hello_is_waited_for_until_it_is_complete_and_is_left_for_the_client() {
        let (mut ours, mut theirs) = ports();
        let line = hello(7);
        theirs[0].write_all(&line[..20]).unwrap();
        let error = wait(&ours, SOON).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        theirs[0].write_all(&line[20..]).unwrap();
        assert_eq!(wait(&ours, SOON).unwrap(), 7);
        let mut read = vec![0; line.len()];
        ours[0].read_exact(&mut read).unwrap();
        assert_eq!(read, line);
    }

    #[test]
    fn what_the_last_program_has_to_say_is_no_hello() {
        let id = ProcessId::MAIN;
        let ended = Event::Ended {
            id,
            outcome: Outcome::Exited(0),
        };
        let output = Event::Output {
            id,
            stdout: 1,
            stderr: 0,
        };
        let nameless = Event::Hello(Hello::new(&[], "6.12"));
        for event in [ended, output, nameless] {
            let (ours, mut theirs) = ports();
            theirs[0].write_all(&encode(&event).unwrap()).unwrap();
            // Not even with a hello after it.
            theirs[0].write_all(&hello(2)).unwrap();
            let error = wait(&ours, SOON).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }

    #[test]
    fn output_before_there_is_a_program_is_another_ones() {
        for stream in [2, 3] {
            let (ours, mut theirs) = ports();
            theirs[stream].write_all(b"x").unwrap();
            theirs[0].write_all(&hello(2)).unwrap();
            let error = wait(&ours, SOON).unwrap_err();
            assert!(error.to_string().contains("another program"), "{error}");
        }
    }

    #[test]
    fn the_hello_is_waited_for_though_not_all_ports_could_be_connected() {
        for connected in 1..4 {
            let (mut ours, mut theirs) = ports();
            drop(ours.split_off(connected));
            let error = wait(&ours, SOON).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            theirs[0].write_all(&hello(3)).unwrap();
            assert_eq!(wait(&ours, SOON).unwrap(), 3);
        }
    }

    #[test]
    fn a_machine_that_ends_is_not_waited_for() {
        let (ours, theirs) = ports();
        drop(theirs);
        let error = wait(&ours, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! A launcher that runs, from its client's side: what it is asked, and what it says.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use cki_session::{Event, Failure, FailureKind, Heard, Outcome, Request};
use nix::poll::PollFlags;

use crate::channel::{Channel, ChannelError};

/// What a launcher is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A container with the program: without the launcher, there is neither.
    Run,
    /// A process in a container that another launcher runs.
    Exec,
}

/// A running launcher, from its client's side.
#[derive(Debug)]
pub struct Launcher {
    purpose: Purpose,
    /// Gone once it has said everything.
    channel: Option<Channel>,
    outcome: Option<Outcome>,
    /// Bytes of standard output that it has written.
    stdout: u64,
    /// What it did against the protocol.
    broken: Option<String>,
}

impl Launcher {
    /// The one at the other end of a socket, which does not block here.
    #[must_use]
    pub fn new(socket: UnixStream, purpose: Purpose) -> Self {
        Launcher {
            purpose,
            channel: Some(Channel::new(File::from(OwnedFd::from(socket)))),
            outcome: None,
            stdout: 0,
            broken: None,
        }
    }

    /// What to wait for; `None` once it has said everything.
    #[must_use]
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let channel = self.channel.as_ref()?;
        let mut flags = PollFlags::POLLIN;
        flags.set(PollFlags::POLLOUT, !channel.is_flushed());
        Some((channel.as_fd(), flags))
    }

    /// Whether it has taken all that it was asked. Until then it is not to be asked for more, but for what has been
    /// received together.
    #[must_use]
    pub fn takes_more(&self) -> bool {
        self.channel.as_ref().is_none_or(Channel::is_flushed)
    }

    /// Passes a request on, now or as soon as it reads: it may be waiting for us to read what it says. One that has
    /// gone is seen by its end.
    pub fn ask(&mut self, request: &Request) {
        let Some(channel) = &mut self.channel else {
            return;
        };
        // It has room, if it is asked for no more than may be. A request that is lost is a failure in any case.
        if let Err(error) = channel.queue(request) {
            self.broken.get_or_insert(error.to_string());
        }
        let _ = channel.flush();
    }

    /// Goes on with what it is asked, and hears what it has said; gives what our own client is to know now.
    pub fn listen(&mut self) -> Vec<Event> {
        let Some(channel) = &mut self.channel else {
            return Vec::new();
        };
        // A launcher that has gone is seen by its end.
        let _ = channel.flush();
        let heard = match channel.receive() {
            Ok(heard) => heard,
            Err(error) => {
                self.channel = None;
                // A launcher that has gone, also with a request that it did not read any more, has broken no rule.
                if let ChannelError::Protocol(breach) = error {
                    self.broken.get_or_insert(breach.to_string());
                }
                return Vec::new();
            }
        };
        let events = heard.into_iter().filter_map(|event| self.hear(event));
        events.collect()
    }

    fn hear(&mut self, heard: Heard<Event>) -> Option<Event> {
        let breach = match heard {
            Ok(Event::Hello(hello)) => hello.check().err()?.to_string(),
            Ok(Event::Ended { outcome, .. }) if self.outcome.is_none() => {
                self.outcome = Some(outcome);
                return None;
            }
            Ok(event @ (Event::Started { .. } | Event::Refused { .. })) => return Some(event),
            Ok(Event::Output { stdout, .. }) => {
                self.stdout = stdout;
                return None;
            }
            Ok(Event::Ended { .. }) => "it said twice how the program ended".to_owned(),
            Ok(Event::Ready { .. } | Event::Unknown) => return None,
            Err(why) => why,
        };
        self.broken.get_or_insert(breach);
        None
    }

    /// How the program ended, once the launcher has, and how many bytes it has written to standard output. `None` if
    /// the launcher of a container was killed before it could say how, and `is_the_end` that the program has ended by
    /// that.
    #[must_use]
    pub fn outcome(mut self, ended: ExitStatus, is_the_end: bool) -> (Option<Outcome>, u64) {
        // What it passes on now is too late: the program has ended.
        // All of it is in the socket, whose buffer is read at once, and then its end.
        for _ in 0..2 {
            self.listen();
        }
        let was_killed = is_the_end && ended.signal() == Some(libc::SIGKILL);
        let what = match self.purpose {
            Purpose::Run => "the launcher of the container",
            Purpose::Exec => "the launcher of the process",
        };
        let how = match (self.broken, self.outcome) {
            (Some(breach), _) => format!("and init do not fit together: {breach}"),
            (None, Some(outcome)) => return (Some(outcome), self.stdout),
            (None, None) if was_killed && self.purpose == Purpose::Run => {
                return (None, self.stdout);
            }
            (None, None) => format!("ended without a word ({ended})"),
        };
        let failure = Failure::new(FailureKind::Internal, format!("{what} {how}"));
        (Some(Outcome::Failed(failure)), self.stdout)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use cki_session::{Isolation, ProcessId, QUEUE_MAX, encode};

    use super::*;

    const HELLO: &[u8] = b"{\"type\":\"hello\",\"version\":4,\"kernel\":\"6.12\"}\n";
    const STARTED: &[u8] = b"{\"type\":\"started\",\"id\":1,\"pid\":7,\"isolation\":\"full\"}\n";
    const ENDED: &[u8] = b"{\"type\":\"ended\",\"id\":1,\"outcome\":{\"exited\":3}}\n";

    fn launcher() -> (Launcher, UnixStream) {
        let (ours, its) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Launcher::new(ours, Purpose::Run), its)
    }

    fn status(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn what_the_launcher_says_is_passed_on() {
        let (mut launcher, mut its) = launcher();
        assert_eq!(launcher.listen(), []);
        its.write_all(&[HELLO, STARTED].concat()).unwrap();
        let started = Event::Started {
            id: ProcessId::MAIN,
            pid: 7,
            isolation: Isolation::Full,
        };
        let refused = Event::Refused {
            message: "no".to_owned(),
        };
        assert_eq!(launcher.listen(), [started]);
        its.write_all(b"{\"type\":\"news\"}\n").unwrap();
        its.write_all(&encode(&refused).unwrap()).unwrap();
        assert_eq!(launcher.listen(), [refused]);
        its.write_all(b"{\"type\":\"output\",\"id\":1,\"stdout\":77,\"stderr\":0}\n")
            .unwrap();
        its.write_all(ENDED).unwrap();
        drop(its);
        assert_eq!(launcher.listen(), []);
        let outcome = launcher.outcome(status(3), true);
        assert_eq!(outcome, (Some(Outcome::Exited(3)), 77));
    }

    #[test]
    fn a_request_reaches_the_launcher() {
        let (mut launcher, mut its) = launcher();
        let request = Request::Signal {
            id: ProcessId::MAIN,
            signal: cki_session::Signal::TERM,
        };
        launcher.ask(&request);
        drop(launcher);
        let mut bytes = Vec::new();
        its.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, encode(&request).unwrap());
    }

    #[test]
    fn a_launcher_that_reads_nothing_is_not_waited_for() {
        let (mut launcher, mut its) = launcher();
        its.write_all(HELLO).unwrap();
        let request = Request::Signal {
            id: ProcessId::MAIN,
            signal: cki_session::Signal::TERM,
        };
        let line = encode(&request).unwrap();
        // More than its socket holds.
        let count = (QUEUE_MAX / 2) / line.len();
        for _ in 0..count {
            launcher.ask(&request);
        }
        assert!(!launcher.takes_more());
        let (_, flags) = launcher.interest().unwrap();
        assert!(flags.contains(PollFlags::POLLIN | PollFlags::POLLOUT));
        // It is heard all the same, and then takes all.
        assert_eq!(launcher.listen(), []);
        let reader = std::thread::spawn(move || {
            let mut bytes = vec![0; count * line.len()];
            its.read_exact(&mut bytes).map(|()| bytes)
        });
        while !launcher.takes_more() {
            launcher.listen();
        }
        let bytes = reader.join().unwrap().unwrap();
        assert!(bytes == encode(&request).unwrap().repeat(count));
    }

    #[test]
    fn a_launcher_that_dies_silently_or_says_nonsense_is_a_failure_of_ours() {
        let newer = HELLO.to_vec();
        let newer = String::from_utf8(newer).unwrap().replace(":4,", ":9,");
        for (said, part) in [
            (&b""[..], "without a word"),
            (STARTED, "without a word"),
            (b"{\"type\":\"exi", "without a word"),
            (b"killed\n", "no message"),
            (b"{\"type\":\"started\"}\n", "`id`"),
            (newer.as_bytes(), "version 9"),
            (&[ENDED, ENDED].concat(), "twice"),
        ] {
            let (mut launcher, mut its) = launcher();
            its.write_all(said).unwrap();
            drop(its);
            // It may be heard before it has ended, or after.
            if said.len() % 2 == 0 {
                assert!(launcher.listen().len() <= 1);
            }
            let (outcome, _) = launcher.outcome(ExitStatus::from_raw(libc::SIGKILL), false);
            match outcome {
                Some(Outcome::Failed(Failure {
                    kind: FailureKind::Internal,
                    message,
                })) => assert!(message.contains(part), "{part} in {message}"),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Its end of the socket tells that by ECONNRESET instead of an end of file.
    #[test]
    fn a_launcher_that_ends_with_a_request_unread_has_broken_no_rule() {
        let request = Request::Signal {
            id: ProcessId::MAIN,
            signal: cki_session::Signal::TERM,
        };
        let outcome = |said: &[u8], ended| {
            let (mut launcher, mut its) = launcher();
            launcher.ask(&request);
            its.write_all(said).unwrap();
            drop(its);
            launcher.outcome(ended, true).0
        };
        let told = outcome(ENDED, status(3));
        assert_eq!(told, Some(Outcome::Exited(3)));
        let killed = ExitStatus::from_raw(libc::SIGKILL);
        assert_eq!(outcome(HELLO, killed), None);
        let Some(Outcome::Failed(failure)) = outcome(b"", status(1)) else {
            panic!("it said nothing");
        };
        assert!(failure.message.contains("without a word"), "{failure:?}");
    }

    #[test]
    fn a_killed_launcher_is_the_end_of_its_container_and_of_no_process_in_anothers() {
        let killed = ExitStatus::from_raw(libc::SIGKILL);
        let outcome = |purpose, said: &[u8], ended| {
            let (mut launcher, mut its) = launcher();
            launcher.purpose = purpose;
            its.write_all(said).unwrap();
            drop(its);
            launcher.outcome(ended, true).0
        };
        assert_eq!(outcome(Purpose::Run, STARTED, killed), None);
        // It has told how the program ended, or was not killed.
        let told = outcome(Purpose::Run, ENDED, killed);
        assert_eq!(told, Some(Outcome::Exited(3)));
        for (purpose, ended) in [(Purpose::Run, status(1)), (Purpose::Exec, killed)] {
            let Some(Outcome::Failed(failure)) = outcome(purpose, STARTED, ended) else {
                panic!("{purpose:?} {ended:?}");
            };
            assert!(failure.message.contains("without a word"), "{failure:?}");
        }
    }
}

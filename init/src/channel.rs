// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages over a descriptor: init's end of the control port, and of the socket to a launcher.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use cki_session::{Arrived, Heard, Incoming, NotQueued, Outgoing, ProtocolError};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The other side cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// It closed the channel.
    #[error("the other side of the session closed the channel")]
    Closed,
    /// The channel itself failed.
    #[error("the channel of the session failed: {0}")]
    Io(#[from] io::Error),
    /// It does not speak the protocol.
    #[error("the other side of the session sent {0}")]
    Protocol(#[from] ProtocolError),
}

/// Reads, of 4 KiB at a time, after which what has come is looked at.
const READS: usize = 64;

// All that is received at once may be passed on: that, behind a start of a line.
const _: () = assert!(cki_session::QUEUE_MAX >= cki_session::MAX_LINE + READS * 4096);

/// Messages over a non-blocking file.
#[derive(Debug)]
pub struct Channel {
    file: File,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Channel {
    /// A channel over `file`, opened non-blocking.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self {
            file,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
        }
    }

    /// Adds a message to those that [`Channel::flush`] sends.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn queue<M: Serialize>(&mut self, message: &M) -> Result<(), NotQueued> {
        self.outgoing.push(message)
    }

    /// Sends as much of what was queued as goes without waiting; whether that was all.
    ///
    /// # Errors
    /// [`ChannelError`]; the other side has gone.
    pub fn flush(&mut self) -> Result<bool, ChannelError> {
        Ok(self.outgoing.write_to(&mut self.file)?)
    }

    /// Whether all that was queued is sent.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Sends a message, after those that are queued, waiting until the other side has taken it.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] when it went away, or the file's error.
    pub fn send<M: Serialize>(&mut self, message: &M) -> Result<(), ChannelError> {
        loop {
            match self.queue(message) {
                Ok(()) => break,
                Err(NotQueued::Full) => self.send_some()?,
                Err(NotQueued::Message(error)) => return Err(error.into()),
            };
        }
        while !self.send_some()? {}
        // A port has room again only when the host took what was written.
        self.wait(PollFlags::POLLOUT)
    }

    /// Waits until the other side takes something, and sends that; whether it was all.
    fn send_some(&mut self) -> Result<bool, ChannelError> {
        self.wait(PollFlags::POLLOUT)?;
        self.flush()
    }

    /// The messages that have arrived, without waiting. Those that came before the end are given first.
    ///
    /// # Errors
    /// [`ChannelError`]; the session cannot go on after any.
    pub fn receive<M: DeserializeOwned>(&mut self) -> Result<VecDeque<Heard<M>>, ChannelError> {
        let mut end = None;
        // Not until nothing is left: whoever talks without end would never be answered.
        for _ in 0..READS {
            match self.incoming.read_from(&mut self.file) {
                Ok(Arrived::Bytes(_)) => {}
                Ok(Arrived::Nothing) => break,
                Ok(Arrived::End) => {
                    end = Some(ChannelError::Closed);
                    break;
                }
                Err(error) => {
                    end = Some(error.into());
                    break;
                }
            }
        }
        let mut messages = VecDeque::new();
        while let Some(message) = self.incoming.hear()? {
            messages.push_back(message);
        }
        match end {
            Some(error) if messages.is_empty() => Err(error),
            _ => Ok(messages),
        }
    }

    /// Waits for messages; at least one is returned.
    ///
    /// # Errors
    /// [`ChannelError`]; the session cannot go on after any.
    pub fn wait_for_messages<M: DeserializeOwned>(
        &mut self,
    ) -> Result<VecDeque<Heard<M>>, ChannelError> {
        loop {
            let messages = self.receive()?;
            if !messages.is_empty() {
                return Ok(messages);
            }
            self.wait(PollFlags::POLLIN)?;
        }
    }

    fn wait(&self, flags: PollFlags) -> Result<(), ChannelError> {
        loop {
            let mut fds = [PollFd::new(self.file.as_fd(), flags)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => {}
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(io::Error::from(error).into()),
            }
            let seen = fds[0].revents().unwrap_or(PollFlags::empty());
            if seen.intersects(flags) {
                return Ok(());
            }
            if seen.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
                return Err(ChannelError::Closed);
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use cki_session::{Event, Outcome, ProcessId, Request, Signal};

    use super::*;

    fn pair() -> (Channel, UnixStream) {
        let (guest, host) = UnixStream::pair().unwrap();
        guest.set_nonblocking(true).unwrap();
        (Channel::new(File::from(OwnedFd::from(guest))), host)
    }

    fn signal(signal: Signal) -> Heard<Request> {
        let id = ProcessId::MAIN;
        Ok(Request::Signal { id, signal })
    }

    #[test]
    fn messages_are_received_however_they_are_cut() {
        let (mut channel, mut host) = pair();
        let line = |signal| format!("{{\"type\":\"signal\",\"id\":1,\"signal\":{signal}}}\n");
        let both = line(2) + &line(15);
        let (start, rest) = both.split_at(20);
        assert!(channel.receive::<Request>().unwrap().is_empty());
        host.write_all(start.as_bytes()).unwrap();
        assert!(channel.receive::<Request>().unwrap().is_empty());
        host.write_all(rest.as_bytes()).unwrap();
        let got = channel.wait_for_messages().unwrap();
        assert_eq!(got, [signal(Signal::INT), signal(Signal::TERM)]);
    }

    #[test]
    fn a_sent_message_is_a_line() {
        let (mut channel, mut host) = pair();
        let ended = Event::Ended {
            id: ProcessId::MAIN,
            outcome: Outcome::Exited(7),
        };
        channel.send(&ended).unwrap();
        drop(channel);
        let mut text = String::new();
        host.read_to_string(&mut text).unwrap();
        assert_eq!(
            text,
            "{\"type\":\"ended\",\"id\":1,\"outcome\":{\"exited\":7}}\n"
        );
    }

    #[test]
    fn what_was_queued_is_sent_before_what_is_waited_for() {
        let (mut channel, mut host) = pair();
        let refused = Event::Refused {
            message: "x".repeat(1 << 10),
        };
        // More than the socket holds, so that some of it waits.
        let mut count = 0;
        while channel.queue(&refused).is_ok() {
            count += 1;
        }
        assert!(!channel.flush().unwrap());
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            host.read_to_string(&mut text).map(|_| text)
        });
        let ended = Event::Ended {
            id: ProcessId::MAIN,
            outcome: Outcome::Exited(7),
        };
        channel.send(&ended).unwrap();
        drop(channel);
        let text = reader.join().unwrap().unwrap();
        assert_eq!(text.lines().count(), count + 1);
        assert!(text.lines().last().unwrap().contains("ended"));
    }

    #[test]
    fn what_is_not_understood_is_passed_over_with_its_reason() {
        let (mut channel, mut host) = pair();
        host.write_all(b"{\"type\":\"pause\"}\n{\"type\":\"signal\",\"id\":1,\"signal\":2}\n")
            .unwrap();
        let got = channel.wait_for_messages::<Request>().unwrap();
        assert!(got[0].as_ref().unwrap_err().contains("`pause`"));
        assert_eq!(got[1], signal(Signal::INT));
    }

    #[test]
    fn garbage_and_a_closed_channel_end_the_session() {
        let (mut channel, mut host) = pair();
        host.write_all(b"hello?\n").unwrap();
        assert!(matches!(
            channel.receive::<Request>(),
            Err(ChannelError::Protocol(_))
        ));
        drop(host);
        assert!(matches!(
            channel.receive::<Request>(),
            Err(ChannelError::Closed)
        ));
    }

    #[test]
    fn last_words_come_before_the_end() {
        let (mut channel, mut host) = pair();
        host.write_all(b"{\"type\":\"signal\",\"id\":1,\"signal\":2}\n")
            .unwrap();
        drop(host);
        assert_eq!(channel.receive().unwrap(), [signal(Signal::INT)]);
        assert!(channel.receive::<Request>().is_err());
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--json-status-fd`: what becomes of the program, for whoever started us.
//!
//! Lines of `abi/session`, as init of a machine writes them: `started` when the program was executed in
//! the container, then one last message, whatever happens. Only a launcher that is killed says no last
//! one; the reader sees the end of the file instead.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, RawFd};

use cki_session::{FailureKind, GuestMessage, Isolation, encode};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::inherited::{self, InheritedError};
use crate::run::session::Watch;

/// The way to whoever started us; without a descriptor, nothing is said.
#[derive(Debug, Default)]
pub struct Status {
    /// Where to; gone once the last message was said.
    file: Option<File>,
}

impl Status {
    /// Takes over the inherited descriptor, if there is one.
    ///
    /// # Errors
    /// [`InheritedError`] when it cannot be written to.
    pub fn open(descriptor: Option<RawFd>) -> Result<Status, InheritedError> {
        let file = descriptor.map(inherited::writable).transpose()?;
        Ok(Status { file })
    }

    /// The program was executed, with this process id in the container.
    pub fn started(&mut self, pid: i32, isolation: Isolation) {
        if let Some(file) = &mut self.file {
            // A reader that has gone is seen at the last message.
            let _ = write(file, &GuestMessage::Started { pid, isolation });
        }
    }

    /// Says the last message; whether somebody was there to take it.
    #[must_use]
    pub fn last(mut self, message: &GuestMessage) -> bool {
        self.file
            .take()
            .is_some_and(|mut file| write(&mut file, message).is_ok())
    }
}

impl From<File> for Status {
    fn from(file: File) -> Self {
        Status { file: Some(file) }
    }
}

/// Tells what happens in a session.
#[derive(Debug)]
pub struct Teller<'s> {
    status: &'s mut Status,
    isolation: Isolation,
    print: bool,
}

impl<'s> Teller<'s> {
    /// Tells `status`. Init of a container cannot know the isolation that it has; `isolation` is what
    /// the module says. With `print`, it is said on standard error too.
    #[must_use]
    pub fn new(status: &'s mut Status, isolation: Isolation, print: bool) -> Self {
        Teller {
            status,
            isolation,
            print,
        }
    }
}

impl Watch for Teller<'_> {
    fn ready(&mut self) {
        if self.print {
            eprintln!("isolation: {}", self.isolation);
        }
    }

    fn started(&mut self, pid: i32) {
        self.status.started(pid, self.isolation);
    }
}

/// A panic of ours comes this way.
impl Drop for Status {
    fn drop(&mut self) {
        if let Some(mut file) = self.file.take() {
            let _ = write(
                &mut file,
                &GuestMessage::Failed {
                    message: "the launcher failed; standard error has the reason".to_owned(),
                    kind: FailureKind::Internal,
                },
            );
        }
    }
}

fn write(file: &mut File, message: &GuestMessage) -> io::Result<()> {
    let line = encode(message).map_err(io::Error::other)?;
    let mut rest = &line[..];
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or(&[]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Whoever started us may have made it non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut fds, PollTimeout::NONE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use cki_session::decode;

    use super::*;

    fn status() -> (UnixStream, Status) {
        let (here, there) = UnixStream::pair().unwrap();
        (here, Status::from(File::from(OwnedFd::from(there))))
    }

    fn messages(mut from: UnixStream) -> Vec<GuestMessage> {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        let lines = text.lines().map(|line| decode(line.as_bytes()).unwrap());
        lines.collect()
    }

    #[test]
    fn messages_are_lines_in_their_order() {
        let (reader, mut status) = status();
        status.started(7, Isolation::Full);
        assert!(status.last(&GuestMessage::Exited { status: 3 }));
        let started = GuestMessage::Started {
            pid: 7,
            isolation: Isolation::Full,
        };
        assert_eq!(
            messages(reader),
            [started, GuestMessage::Exited { status: 3 }]
        );
    }

    #[test]
    fn a_panic_says_a_last_message_too() {
        let (reader, status) = status();
        let panics = std::thread::spawn(move || {
            let _status = status;
            panic!("on purpose");
        });
        assert!(panics.join().is_err());
        assert!(matches!(
            &messages(reader)[..],
            [GuestMessage::Failed { .. }]
        ));
    }

    #[test]
    fn a_reader_that_has_gone_is_noticed() {
        let (reader, mut status) = status();
        drop(reader);
        status.started(7, Isolation::Full);
        assert!(!status.last(&GuestMessage::Exited { status: 0 }));
        assert!(!Status::default().last(&GuestMessage::Exited { status: 0 }));
    }

    #[test]
    fn a_full_non_blocking_pipe_is_waited_for() {
        let (reader, mut status) = status();
        let file = status.file.as_ref().unwrap().try_clone().unwrap();
        UnixStream::from(OwnedFd::from(file))
            .set_nonblocking(true)
            .unwrap();
        let writer = std::thread::spawn(move || {
            for pid in 0..20_000 {
                status.started(pid, Isolation::Full);
            }
            status.last(&GuestMessage::Exited { status: 0 })
        });
        assert_eq!(messages(reader).len(), 20_001);
        assert!(writer.join().unwrap());
    }
}

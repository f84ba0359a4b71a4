// SPDX-License-Identifier: MIT OR Apache-2.0

//! The other side of a session: init of the container, at its control port, and the vCPU's thread.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cki_session::{Event, LineBuffer, decode};

use crate::virtio::console::PortIo;
use crate::vm::Waker;
use crate::vm::vcpu::End;

/// What the session is told.
#[derive(Debug)]
pub enum Input {
    /// Init said something.
    Init(Event),
    /// Init said something that is no message.
    Protocol(String),
    /// The vCPU does not run any more.
    VcpuEnded(End),
    /// The thread of a device, by the number of its slot, ended for a reason that is a bug or the host's.
    DeviceFailed(u32, String),
}

/// The way to the session.
#[derive(Debug, Clone)]
pub struct Inputs {
    sender: Sender<Input>,
    waker: Waker,
}

impl Inputs {
    /// Tells the session.
    pub fn send(&self, input: Input) {
        // It is over, or nobody waits any more: nothing is lost.
        let _ = self.sender.send(input);
        self.waker.wake();
    }
}

/// The session's end.
#[derive(Debug)]
pub struct Inbox {
    receiver: Receiver<Input>,
    inputs: Inputs,
}

impl Inbox {
    /// An empty one. `waker` is woken by what comes.
    #[must_use]
    pub fn new(waker: Waker) -> Self {
        let (sender, receiver) = mpsc::channel();
        Inbox {
            receiver,
            inputs: Inputs { sender, waker },
        }
    }

    /// A way to it.
    #[must_use]
    pub fn sender(&self) -> Inputs {
        self.inputs.clone()
    }

    /// Wakes whoever waits for the inbox.
    #[must_use]
    pub fn waker(&self) -> &Waker {
        &self.inputs.waker
    }

    /// What came, without waiting.
    #[must_use]
    pub fn take(&self) -> Option<Input> {
        self.receiver.try_recv().ok()
    }

    /// What comes within `time`.
    #[must_use]
    pub fn receive(&self, time: Duration) -> Option<Input> {
        self.receiver.recv_timeout(time).ok()
    }
}

/// Requests for init, until it reads them.
#[derive(Clone, Debug, Default)]
pub struct Outgoing(Arc<Mutex<VecDeque<u8>>>);

impl Outgoing {
    /// Adds a line.
    pub fn push(&self, line: &[u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(line);
    }
}

/// The control port.
#[derive(Debug)]
pub struct ControlPort {
    lines: LineBuffer,
    inputs: Inputs,
    outgoing: Outgoing,
}

impl ControlPort {
    /// A port that tells `inputs` what init says, and tells init what is in `outgoing`.
    #[must_use]
    pub fn new(inputs: Inputs, outgoing: Outgoing) -> Self {
        ControlPort {
            lines: LineBuffer::default(),
            inputs,
            outgoing,
        }
    }

    fn breach(&self, error: &dyn std::fmt::Display) -> io::Error {
        self.inputs.send(Input::Protocol(error.to_string()));
        ErrorKind::InvalidData.into()
    }
}

impl PortIo for ControlPort {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.push(bytes);
        loop {
            match self.lines.next_line() {
                Ok(Some(line)) => match decode(&line) {
                    Ok(event) => self.inputs.send(Input::Init(event)),
                    Err(error) => return Err(self.breach(&error)),
                },
                Ok(None) => return Ok(bytes.len()),
                Err(error) => return Err(self.breach(&error)),
            }
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut outgoing = self
            .outgoing
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = bytes.len().min(outgoing.len());
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        for (to, from) in bytes.iter_mut().zip(outgoing.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> (ControlPort, Inbox, Outgoing) {
        let (inbox, outgoing) = (Inbox::new(Waker::new().unwrap()), Outgoing::default());
        let port = ControlPort::new(inbox.sender(), outgoing.clone());
        (port, inbox, outgoing)
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        let (mut port, inbox, _) = port();
        port.write(b"{\"type\":\"started\",\"id\":1,\"isolation\":\"none\",")
            .unwrap();
        assert!(inbox.take().is_none());
        port.write(b"\"pid\":7}\n{\"type\":\"ended\",\"id\":1,\"outcome\":{\"exited\":3}}\n")
            .unwrap();
        assert!(matches!(
            inbox.take(),
            Some(Input::Init(Event::Started { pid: 7, .. }))
        ));
        assert!(matches!(
            inbox.take(),
            Some(Input::Init(Event::Ended { .. }))
        ));
        assert!(inbox.waker().take());
    }

    #[test]
    fn what_is_no_message_ends_the_port() {
        let (mut port, inbox, _) = port();
        assert!(port.write(b"Linux version 6.12\n").is_err());
        assert!(matches!(inbox.take(), Some(Input::Protocol(_))));
    }

    #[test]
    fn requests_for_init_wait_until_it_reads() {
        let (mut port, _inbox, outgoing) = port();
        let mut bytes = [0; 4];
        let nothing = port.read(&mut bytes).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        outgoing.push(b"line\nx");
        assert_eq!(port.read(&mut bytes).unwrap(), 4);
        assert_eq!(port.read(&mut bytes).unwrap(), 2);
    }
}

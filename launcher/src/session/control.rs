// SPDX-License-Identifier: MIT OR Apache-2.0

//! The other side of a session: init of the container, at its control port, and the vCPU's thread.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cki_session::{Event, Incoming, NotQueued, Outgoing, Request};

use crate::virtio::console::PortIo;
use crate::vm::Waker;
use crate::vm::vcpu::End;

/// Messages of init's that wait for the session, at most. A guest that says more waits itself, and what it
/// says stays in its own memory.
pub const WAITING_MAX: usize = 8;
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
    /// How many of init's messages wait. A number alone, which is right by itself: what it counts goes by the channel,
    /// and is counted before it is sent, so that nothing is taken that was not counted.
    waiting: Arc<AtomicUsize>,
    waker: Waker,
}

impl Inputs {
    /// Tells the session.
    pub fn send(&self, input: Input) {
        if matches!(input, Input::Init(_)) {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
        // It is over, or nobody waits any more: nothing is lost.
        let _ = self.sender.send(input);
        self.waker.wake();
    }

    /// Whether init has to wait before it says more.
    fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= WAITING_MAX
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
            inputs: Inputs {
                sender,
                waiting: Arc::default(),
                waker,
            },
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
        self.taken(self.receiver.try_recv().ok())
    }

    /// What comes within `time`.
    #[must_use]
    pub fn receive(&self, time: Duration) -> Option<Input> {
        self.taken(self.receiver.recv_timeout(time).ok())
    }

    fn taken(&self, input: Option<Input>) -> Option<Input> {
        if matches!(input, Some(Input::Init(_))) {
            self.inputs.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        input
    }
}

/// Requests for init, until it reads them. A guest that does not read does not make the launcher keep more than a queue
/// holds.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Outgoing>>);

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Outgoing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn push(&self, request: &Request) -> Result<(), NotQueued> {
        self.lock().push(request)
    }

    /// Adds all that wait elsewhere.
    ///
    /// # Errors
    /// [`NotQueued::Full`].
    pub fn append(&self, others: Outgoing) -> Result<(), NotQueued> {
        self.lock().append(others)
    }
}

/// The control port.
#[derive(Debug)]
pub struct ControlPort {
    incoming: Incoming,
    inputs: Inputs,
    requests: Requests,
}

impl ControlPort {
    /// A port that tells `inputs` what init says, and tells init what is in `requests`.
    #[must_use]
    pub fn new(inputs: Inputs, requests: Requests) -> Self {
        ControlPort {
            incoming: Incoming::default(),
            inputs,
            requests,
        }
    }

    fn breach(&self, error: &dyn std::fmt::Display) -> io::Error {
        self.inputs.send(Input::Protocol(error.to_string()));
        ErrorKind::InvalidData.into()
    }
}

impl PortIo for ControlPort {
    /// Takes whole lines as long as the session has room for their messages, so that what it has no room for
    /// stays in the guest's buffer.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.inputs.is_full() {
                break;
            }
            self.incoming.push(piece);
            taken += piece.len();
            match self.incoming.message() {
                Ok(Some(event)) => self.inputs.send(Input::Init(event)),
                Ok(None) => {}
                Err(error) => return Err(self.breach(&error)),
            }
        }
        match taken {
            0 => Err(ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.requests.lock().take(bytes) {
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use cki_session::{ProcessId, QUEUE_MAX, Signal, encode};

    use super::*;

    fn port() -> (ControlPort, Inbox, Requests) {
        let (inbox, requests) = (Inbox::new(Waker::new().unwrap()), Requests::default());
        let port = ControlPort::new(inbox.sender(), requests.clone());
        (port, inbox, requests)
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
    fn a_guest_that_talks_without_end_waits_for_the_session() {
        let (mut port, inbox, _) = port();
        let line = b"{\"type\":\"refused\",\"message\":\"no\"}\n";
        let lines = line.repeat(WAITING_MAX + 3);
        let taken = port.write(&lines).unwrap();
        assert_eq!(taken, WAITING_MAX * line.len());
        let full = port.write(&lines[taken..]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        // A start of a line is a message to come, too.
        assert!(port.write(b"{").is_err());
        assert!(inbox.take().is_some());
        assert_eq!(port.write(&lines[taken..]).unwrap(), line.len());
        let rest = std::iter::from_fn(|| inbox.take()).count();
        assert_eq!(rest, WAITING_MAX);
        assert_eq!(
            port.write(&lines[taken + line.len()..]).unwrap(),
            2 * line.len()
        );
    }

    fn terminate() -> Request {
        Request::Signal {
            id: ProcessId::MAIN,
            signal: Signal::TERM,
        }
    }

    #[test]
    fn requests_for_a_guest_that_does_not_read_are_bounded() {
        let (mut port, _inbox, requests) = port();
        let size = encode(&terminate()).unwrap().len();
        let kept = std::iter::repeat_with(|| requests.push(&terminate()).is_ok()).take(100_000);
        assert_eq!(kept.filter(|kept| *kept).count(), QUEUE_MAX / size);
        assert_eq!(requests.push(&terminate()), Err(NotQueued::Full));
        let mut bytes = [0; 4096];
        assert_eq!(port.read(&mut bytes).unwrap(), 4096);
        assert_eq!(requests.push(&terminate()), Ok(()));
    }

    #[test]
    fn requests_for_init_wait_until_it_reads() {
        let (mut port, _inbox, requests) = port();
        let mut bytes = [0; 30];
        let nothing = port.read(&mut bytes).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        requests.push(&terminate()).unwrap();
        let line = encode(&terminate()).unwrap();
        let (start, rest) = line.split_at(bytes.len());
        assert_eq!(port.read(&mut bytes).unwrap(), bytes.len());
        assert_eq!(bytes, start);
        assert_eq!(port.read(&mut bytes).unwrap(), rest.len());
        assert_eq!(bytes[..rest.len()], *rest);
    }
}

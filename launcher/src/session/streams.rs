// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program's standard streams: our own descriptors, as the host's ends of the console's ports.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::control::{ControlPort, Inbox, Requests};
use crate::unblocked::{Unblocked, Way};
use crate::virtio::console::{Console, PortIo};
use crate::vm::outside::port;
use cki_session::port as names;

/// Whether what was written is lost because there is no room for it. Other failures are those of a reader that has
/// gone: of a pipe or socket, or a terminal that was hung up.
pub(crate) fn has_no_room(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

/// Our side of the program's streams. Descriptors of their own, so that closing them hurts nobody.
#[derive(Debug)]
pub struct Streams {
    /// What the program reads.
    pub stdin: File,
    /// Where its standard output goes.
    pub stdout: File,
    /// Where its standard error goes.
    pub stderr: File,
}

impl Streams {
    /// The standard streams of this process.
    ///
    /// # Errors
    /// When one cannot be duplicated.
    pub fn ours() -> io::Result<Self> {
        Ok(Streams {
            stdin: duplicate(&io::stdin())?,
            stdout: duplicate(&io::stdout())?,
            stderr: duplicate(&io::stderr())?,
        })
    }

    /// The device with the ports of a session. What comes over the control port goes to `inbox`; `written` counts the
    /// bytes of standard output that were taken from us.
    ///
    /// # Errors
    /// When a descriptor can be neither opened again nor duplicated.
    pub fn ports(
        &self,
        inbox: &Inbox,
        requests: &Requests,
        written: &Arc<AtomicU64>,
    ) -> io::Result<Console> {
        let control = ControlPort::new(inbox.sender(), requests.clone());
        let ends: [Box<dyn PortIo>; port::COUNT] = [
            Box::new(control),
            Stream::input(&self.stdin)?,
            Stream::output(&self.stdout, Arc::clone(written))?,
            Stream::output(&self.stderr, Arc::default())?,
        ];
        let named = names::ALL.map(str::to_owned).into_iter().zip(ends);
        Ok(Console::new(named.collect()))
    }
}

/// A descriptor of its own for the same file.
///
/// # Errors
/// When none is left.
pub fn duplicate(stream: &impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

/// One of our streams.
#[derive(Debug)]
enum Stream {
    /// Standard input.
    Input(Unblocked),
    /// Standard output or error.
    Output(Unblocked, Arc<AtomicU64>),
}

impl Stream {
    fn input(file: &File) -> io::Result<Box<Self>> {
        Ok(Box::new(Stream::Input(Unblocked::new(file, Way::In)?)))
    }

    fn output(file: &File, written: Arc<AtomicU64>) -> io::Result<Box<Self>> {
        let file = Unblocked::new(file, Way::Out)?;
        Ok(Box::new(Stream::Output(file, written)))
    }
}

impl PortIo for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            // Nothing writes to the port of standard input; if something does, nobody reads it.
            Stream::Input(_) => Ok(bytes.len()),
            Stream::Output(file, written) => {
                let count = file.write(bytes)?;
                written.fetch_add(count as u64, Ordering::Relaxed);
                Ok(count)
            }
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Input(file) => file.read(bytes),
            Stream::Output(..) => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

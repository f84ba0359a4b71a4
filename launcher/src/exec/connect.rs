// SPDX-License-Identifier: MIT OR Apache-2.0

//! Connections to a port of a container, through the Unix socket of its launcher.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::socket_file::SocketFile;

/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// Time after which it is asked whether the launcher still runs.
const GLANCE: Duration = Duration::from_millis(500);
/// Bytes of the launcher's answer at most.
const LINE_MAX: usize = 32;

/// A connection to a port of the container.
#[derive(Debug)]
pub struct PortConnection {
    /// The bytes.
    pub stream: File,
    /// What its other end is called in the container: a port of the host's.
    pub port: u32,
}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Its launcher does not run any more.
    #[error("it has ended")]
    Ended,
    /// Nobody listens, or takes one more.
    #[error(
        "its init takes no commands: it did not come up in time or is stopped, has too many at once, or is of a \
         version that takes none"
    )]
    Refused,
    /// The launcher answers what it should not.
    #[error("its launcher does not speak the protocol of its socket")]
    Protocol,
    /// The socket cannot be used.
    #[error("cannot use its socket")]
    System(#[from] io::Error),
}

/// Connects to `port`. A container that is still starting refuses; this tries again until `deadline`, as long as
/// `runs` says that there is a launcher.
///
/// # Errors
/// [`ConnectError`].
pub fn connect(
    socket: &Path,
    port: u32,
    deadline: Instant,
    runs: &mut dyn FnMut() -> bool,
) -> Result<PortConnection, ConnectError> {
    loop {
        let tried = open(socket).and_then(|stream| ask(stream, port, deadline, runs));
        match tried {
            Ok(connection) => return Ok(connection),
            Err(error) => match error.kind() {
                ErrorKind::InvalidData => return Err(ConnectError::Protocol),
                _ if !runs() => return Err(ConnectError::Ended),
                // It is not there yet, nobody listens yet, too many wait already, or nothing was said in time.
                ErrorKind::NotFound
                | ErrorKind::WouldBlock
                | ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::TimedOut => {}
                _ => return Err(error.into()),
            },
        }
        if Instant::now() >= deadline {
            return Err(ConnectError::Refused);
        }
        thread::sleep(PAUSE);
    }
}

/// A connection to whoever listens there; an error, and no wait, when too many wait for that one already.
///
/// # Errors
/// When nobody listens, or it is no socket.
pub fn open(path: &Path) -> io::Result<UnixStream> {
    let file = SocketFile::find(path)?;
    let stream = file
        .ok_or_else(|| io::Error::other("it is no socket"))?
        .connect()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Says which port is wanted and waits for the answer.
fn ask(
    mut stream: UnixStream,
    port: u32,
    deadline: Instant,
    runs: &mut dyn FnMut() -> bool,
) -> io::Result<PortConnection> {
    stream.set_read_timeout(Some(GLANCE))?;
    stream.write_all(format!("CONNECT {port}\n").as_bytes())?;
    let mut line = Vec::new();
    loop {
        // One at a time: what comes after the line is the port's.
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() == LINE_MAX => return Err(ErrorKind::InvalidData.into()),
            Ok(_) => line.extend(byte),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock if Instant::now() < deadline && runs() => {}
                ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                _ => return Err(error),
            },
        }
    }
    stream.set_read_timeout(None)?;
    let port = std::str::from_utf8(&line).ok();
    let port = port.and_then(|line| line.strip_prefix("OK ")?.parse().ok());
    Ok(PortConnection {
        stream: File::from(OwnedFd::from(stream)),
        port: port.ok_or(ErrorKind::InvalidData)?,
    })
}

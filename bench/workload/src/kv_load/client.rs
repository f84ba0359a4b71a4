// SPDX-License-Identifier: MIT OR Apache-2.0

//! One connection, with several requests on their way.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::counts::Counts;
use super::error::Error;
use super::keys::value;
use super::load::Load;
use super::protocol::Reply;
use crate::random::Random;
use crate::stream;
use crate::sum::Sum;

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

/// A request that is not answered yet.
#[derive(Debug)]
struct Asked {
    key: u64,
    is_set: bool,
    since: Instant,
}

#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    random: Random,
    /// What is to be sent, and how much of it is sent.
    out: Vec<u8>,
    sent: usize,
    /// What was received, and how much of it is read.
    input: Vec<u8>,
    read: usize,
    waiting: VecDeque<Asked>,
    /// Requests so far.
    requests: u64,
    /// Of the keys that were asked for.
    pub sum: Sum,
}

impl Client {
    /// The `number`th one; each has random numbers of its own.
    pub fn connect(to: SocketAddr, number: u64, seed: u64) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, CONNECT)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            random: Random::new(seed, stream::KV_LOAD << 32 | number),
            out: Vec::new(),
            sent: 0,
            input: Vec::new(),
            read: 0,
            waiting: VecDeque::new(),
            requests: 0,
            sum: Sum::new(),
        })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether something is to be sent.
    pub fn has_output(&self) -> bool {
        self.sent < self.out.len()
    }

    /// Whether a reply is to come.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Asks until as many requests are on their way as may be: to store and to get in turn.
    pub fn ask(&mut self, load: &Load) {
        while self.waiting.len() < load.pipeline && self.requests < load.requests {
            let key = load.keys.next(&mut self.random);
            let is_set = self.requests % 2 == 0;
            let name = format!("cki-{key}");
            if is_set {
                let value = value(key, load.seed, load.value_size);
                load.protocol.set(&mut self.out, &name, &value);
            } else {
                load.protocol.get(&mut self.out, &name);
            }
            self.sum.add(key);
            self.requests += 1;
            self.waiting.push_back(Asked {
                key,
                is_set,
                since: Instant::now(),
            });
        }
    }

    /// Sends what the connection takes.
    pub fn send(&mut self) -> Result<(), Error> {
        while self.has_output() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err(Error::Closed),
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Connection(error)),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Receives what is there, and counts the replies; says whether there were any.
    pub fn receive(&mut self, load: &Load, counts: &mut Counts) -> Result<bool, Error> {
        let mut buffer = [0; BUFFER];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(Error::Closed),
            Ok(bytes) => self.input.extend(&buffer[..bytes]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(Error::Connection(error)),
        }
        let now = Instant::now();
        let mut any = false;
        while let Some((reply, bytes)) = load.protocol.reply(&self.input[self.read..])? {
            let asked = self.waiting.pop_front().ok_or(Error::Strange)?;
            let microseconds = (now - asked.since).as_micros();
            match (asked.is_set, reply) {
                (true, Reply::Stored) => counts.set(microseconds),
                (false, Reply::Missing) => counts.get(microseconds, false),
                (false, Reply::Value(is)) if is == value(asked.key, load.seed, load.value_size) => {
                    counts.get(microseconds, true);
                }
                (false, Reply::Value(_)) => return Err(Error::Value(asked.key)),
                (_, Reply::Refused(line)) => {
                    return Err(Error::Refused(String::from_utf8_lossy(line).into_owned()));
                }
                _ => return Err(Error::Strange),
            }
            self.read += bytes;
            any = true;
        }
        self.input.drain(..self.read);
        self.read = 0;
        Ok(any)
    }
}

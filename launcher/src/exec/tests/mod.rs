// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes in a container whose launcher and init are threads of ours, at a Unix socket.

mod connect;
mod hostile;
mod processes;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cki_session::exec::port;
use cki_session::{
    Event, Exec, Hello, Isolation, Outcome, Process, ProcessId, Request, StreamPorts, decode,
    encode, feature,
};

use super::driver::{Connections, Driver, ExecRequest, START_LIMIT};
use super::error::ExecError;
use super::waiting::Waiting;
use crate::session::client::{Client, Wish};
use crate::session::streams::Streams;
use crate::testing::pipe;

/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// What init is told to call the process.
const ID: ProcessId = ProcessId::MAIN;
/// What the client calls it.
const THEIRS: ProcessId = ProcessId(5);

/// A user who wants these things, one after the other, each for a byte that is sent to the socket.
struct User {
    wishes: Vec<Wish>,
    /// Does not wait until there is a program.
    early: bool,
    told: Vec<Event>,
    socket: UnixStream,
    other: UnixStream,
}

impl User {
    /// One who wants things once somebody says so.
    fn who_is_told_when(wishes: Vec<Wish>) -> Self {
        let (socket, other) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        User {
            wishes,
            early: false,
            told: Vec::new(),
            socket,
            other,
        }
    }

    /// One who wants all of them as soon as there is a program.
    fn who_wants(wishes: Vec<Wish>) -> Self {
        let mut user = User::who_is_told_when(wishes);
        user.other
            .write_all(&vec![b'x'; user.wishes.len()])
            .unwrap();
        user
    }

    /// One who wants all of them at once.
    fn in_haste(wishes: Vec<Wish>) -> Self {
        User {
            early: true,
            ..User::who_wants(wishes)
        }
    }
}

impl Client for User {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn wishes(&mut self, started: bool) -> Vec<Wish> {
        if !started && !self.early {
            return Vec::new();
        }
        let mut bytes = [0; 4096];
        match self.socket.read(&mut bytes) {
            Ok(count) => self.wishes.drain(..count).collect(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                Vec::new()
            }
        }
    }

    fn up(&mut self, _isolation: Isolation) {}

    fn tell(&mut self, event: &Event) {
        self.told.push(event.clone());
    }
}

/// Init's side of the connections of one process.
struct Init {
    control: BufReader<UnixStream>,
    streams: BTreeMap<u32, UnixStream>,
}

impl Init {
    fn says(&mut self, event: &Event) {
        // We may have heard enough.
        let _ = self.control.get_mut().write_all(&encode(event).unwrap());
    }

    /// The next request, unless the client has gone.
    fn hears(&mut self) -> Option<Request> {
        let mut line = String::new();
        match self.control.read_line(&mut line) {
            // It had not read all that we said.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            read => read.unwrap(),
        };
        (!line.is_empty()).then(|| decode(line.as_bytes()).unwrap())
    }

    /// Hello, the request, and that it was carried out.
    fn starts(&mut self) -> (Process, StreamPorts) {
        let features = [feature::EXEC, feature::TERMINAL];
        self.says(&Event::Hello(Hello::new(&features, "6.12")));
        let Some(Request::Exec(exec)) = self.hears() else {
            panic!("no `exec`");
        };
        let Exec {
            id,
            process,
            streams,
        } = *exec;
        assert_eq!(id, ID);
        self.says(&Event::Started {
            id,
            pid: 7,
            isolation: Isolation::None,
        });
        (process, streams)
    }

    fn stream(&mut self, port: Option<u32>) -> UnixStream {
        let port = port.expect("a stream");
        self.streams.remove(&port).expect("it was connected")
    }

    fn ends(&mut self, outcome: Outcome) {
        self.says(&Event::Ended { id: ID, outcome });
    }
}

/// Listens as a launcher does, sends the first `refuses` clients away, and has `init` serve the others together.
fn launcher(
    listener: UnixListener,
    refuses: usize,
    init: impl FnOnce(&mut Init) + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut streams = BTreeMap::new();
        let mut asked = Vec::new();
        let control = loop {
            let (mut client, _) = listener.accept().unwrap();
            let mut line = Vec::new();
            while line.last() != Some(&b'\n') {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                line.extend(byte);
            }
            asked.push(String::from_utf8(line).unwrap());
            if asked.len() <= refuses {
                continue;
            }
            let number = 1000 + asked.len() as u32;
            client
                .write_all(format!("OK {number}\n").as_bytes())
                .unwrap();
            if asked.last() == Some(&format!("CONNECT {}\n", port::CONTROL)) {
                break client;
            }
            assert_eq!(asked.last(), Some(&format!("CONNECT {}\n", port::STREAMS)));
            streams.insert(number, client);
        };
        // A client that does not end is a failure.
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        let control = BufReader::new(control);
        init(&mut Init { control, streams });
    })
}

struct Container {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    thread: JoinHandle<()>,
}

impl Container {
    fn new(refuses: usize, init: impl FnOnce(&mut Init) + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("vsock");
        let listener = UnixListener::bind(&socket).unwrap();
        let thread = launcher(listener, refuses, init);
        Container {
            _directory: directory,
            socket,
            thread,
        }
    }

    /// Serves a process in it for `user`, with these streams, and this time for hello and for the start.
    fn serve(
        &self,
        process: Process,
        ours: Streams,
        user: &mut dyn Client,
        start_limit: Duration,
    ) -> Result<Outcome, ExecError> {
        let stderr = process.terminal.is_none();
        let deadline = Instant::now() + PATIENCE;
        let connections = Connections::open(&self.socket, stderr, deadline, &mut || true)?;
        let wanted = ExecRequest {
            id: THEIRS,
            process,
            isolation: Isolation::Full,
            waiting: Waiting::default(),
        };
        Driver::with_start_limit(connections, wanted, ours, user, start_limit)?.drive()
    }

    /// Runs a process in it, with `input`.
    fn run(self, process: Process, input: &[u8], mut user: User) -> Ran {
        let (stdin, mut typed) = pipe();
        typed.write_all(input).unwrap();
        drop(typed);
        let (out, stdout) = pipe();
        let (err, stderr) = pipe();
        let read = |mut file: File| {
            thread::spawn(move || {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                text
            })
        };
        let (out, err) = (read(out), read(err));
        let ours = Streams {
            stdin: file(stdin),
            stdout: file(stdout),
            stderr: file(stderr),
        };
        let start = Instant::now();
        let result = self.serve(process, ours, &mut user, START_LIMIT);
        let took = start.elapsed();
        self.thread.join().unwrap();
        Ran {
            result,
            out: out.join().unwrap(),
            err: err.join().unwrap(),
            told: user.told,
            took,
        }
    }
}

/// What became of a process.
struct Ran {
    result: Result<Outcome, ExecError>,
    out: String,
    err: String,
    /// What the user was told.
    told: Vec<Event>,
    took: Duration,
}

fn file(fd: impl Into<OwnedFd>) -> File {
    File::from(fd.into())
}

fn null() -> File {
    let mut options = File::options();
    options.read(true).write(true).open("/dev/null").unwrap()
}

fn nobody() -> User {
    User::who_wants(Vec::new())
}

fn cat() -> Process {
    Process::new(["cat"])
}

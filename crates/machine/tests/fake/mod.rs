// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine played by a shell script that inherits QEMU's descriptors, and the session driver against it.

// Not every suite needs all of it.
#![allow(dead_code)]

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cki_machine::{Board, Ended, HostImage, Io, Machine, MachineError, Signals, TimeLimit, driver};
use cki_process::files::write_program;
use cki_session::{Container, Memory, Outcome, Run};

/// Says hello and waits for the request, as init does.
pub const HELLO: &str = r#"
echo '{"type":"hello","version":4,"features":["pool"],"kernel":"6.12-test"}' >&3
read -r request <&3
echo '{"type":"started","id":1,"pid":2,"isolation":"none"}' >&3
"#;

/// Ends the machine as init does.
pub const END: &str = "\nexit 67\n";

#[derive(Clone, Default)]
pub struct Sink(pub Arc<Mutex<Vec<u8>>>);

/// A sink that takes so long for each piece.
struct Slow(Sink, Duration);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::thread::sleep(self.1);
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Fake {
    dir: tempfile::TempDir,
    pub stdin: Vec<u8>,
    pub stdout: Sink,
    pub stderr: Sink,
    pub console: Sink,
    pub timeout: Option<Duration>,
    /// After the time.
    pub grace: Duration,
    /// How long the reader of standard output takes for each piece.
    pub reader: Duration,
    pub unread: bool,
    pub container: Option<Container>,
    pub start_limit: Duration,
}

impl Fake {
    /// A machine that runs `script` in bash.
    pub fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            write_program(&dir.path().join(name), text).expect("written");
        };
        write("qemu", &format!("#!/bin/bash\n{script}"));
        write("app.img", "");
        Self {
            dir,
            stdin: Vec::new(),
            stdout: Sink::default(),
            stderr: Sink::default(),
            console: Sink::default(),
            timeout: None,
            grace: TimeLimit::NONE.grace,
            reader: Duration::ZERO,
            unread: false,
            container: None,
            start_limit: Duration::from_secs(60),
        }
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    pub fn run(&self) -> Result<Ended, MachineError> {
        self.run_with(|_| {})
    }

    pub fn run_with(&self, signals: impl FnOnce(Signals)) -> Result<Ended, MachineError> {
        let host = HostImage {
            kernel: "vmlinux".into(),
            initrd: "initrd".into(),
            session_initrd: "initrd".into(),
            cmdline: String::new(),
            container_cmdline: String::new(),
            board: Board::Microvm,
            host_mib: 192,
            hypervisor: None,
        };
        let memory = Memory::constant(256);
        let mut machine = Machine::new(Path::new("/"), host, self.path("app.img"), memory, 1);
        machine.qemu = self.path("qemu");
        machine.start_limit = self.start_limit;
        let stdin = io::Cursor::new(self.stdin.clone());
        let stdout: Box<dyn io::Write + Send> = if self.unread {
            Box::new(Closed)
        } else {
            Box::new(Slow(self.stdout.clone(), self.reader))
        };
        let io = Io {
            console: Some(Box::new(self.console.clone())),
            ..Io::new(stdin, stdout, self.stderr.clone())
        };
        let mut run = Run::new(["prog", "arg"]);
        run.process.env = vec![("K".into(), "V".into())];
        run.container = self.container.clone();
        driver::run(
            &machine,
            run,
            TimeLimit {
                grace: self.grace,
                ..TimeLimit::new(self.timeout)
            },
            io,
            signals,
            || {},
        )
    }

    pub fn outcome(&self) -> Outcome {
        self.run().expect("the session ends well").outcome
    }

    pub fn stdout(&self) -> Vec<u8> {
        self.stdout.0.lock().expect("lock").clone()
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The emulator of a machine that stays up, and what it has to say.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;

use super::directory::Locked;
use super::news::News;
use super::setup::{MONITOR_FD, Setup};
use crate::channel::Channel;
use crate::console::Tail;
use crate::machine::Machine;
use crate::ports::Inherited;

/// QEMU, and our ends of what it is connected to.
pub(super) struct Emulator {
    pub(super) qemu: Arc<duct::Handle>,
    pub(super) machine: UnixStream,
    pub(super) monitor: UnixStream,
    pub(super) console: Tail,
    pub(super) log: File,
    /// What QEMU says is in the log, up to its end, when this has ended.
    saying: Option<thread::JoinHandle<()>>,
}

impl Emulator {
    /// Starts QEMU, which ends with this thread.
    pub(super) fn start(
        setup: &Setup,
        machine: &Machine,
        locked: &Locked,
        news: &Sender<News>,
    ) -> io::Result<Self> {
        let mut theirs = Vec::new();
        let mut pair = |number: i32| {
            let (ours, other) = UnixStream::pair()?;
            theirs.push((number, OwnedFd::from(other)));
            io::Result::Ok(ours)
        };
        let port = pair(Channel::Control.fd())?;
        let its_console = pair(Channel::Console.fd())?;
        let monitor = pair(MONITOR_FD)?;
        let log = locked.new_log()?;
        let inherited = Inherited::new(theirs);
        let (said, says) = os_pipe::pipe()?;
        let expression = setup
            .command(machine)
            .cwd(locked.directory().path())
            .expression(rustix::process::Signal::KILL)
            .stdin_null()
            .stdout_null()
            .stderr_file(says)
            .before_spawn(move |child| inherited.prepare(child));
        let qemu = Arc::new(expression.start()?);
        drop(expression);
        let copy = Capped::new(log.try_clone()?);
        let saying = thread::spawn(move || Tail::default().follow(said, Some(Box::new(copy))));
        let console = Tail::default();
        let (tail, copy) = (console.clone(), Capped::new(log.try_clone()?));
        thread::spawn(move || tail.follow(its_console, Some(Box::new(copy))));
        let (waiting, news) = (Arc::clone(&qemu), news.clone());
        thread::spawn(move || {
            if let Ok(output) = waiting.wait() {
                let _ = news.send(News::Ended(output.status));
            }
        });
        Ok(Self {
            qemu,
            machine: port,
            monitor,
            console,
            log,
            saying: Some(saying),
        })
    }

    /// Writes a line to the log, behind what QEMU has said, which is gone.
    pub(super) fn note(&mut self, text: &str) {
        self.hear_out();
        let _ = self
            .log
            .write_all(format!("cki-build: {text}\n").as_bytes());
    }

    /// Waits until all that QEMU has said is in the log. It is gone, or is about to be.
    pub(super) fn hear_out(&mut self) {
        if let Some(thread) = self.saying.take() {
            let _ = thread.join();
        }
    }
}

/// What is written to a file, up to a measure: the console says what a container has its launcher say, and QEMU what
/// it takes for mistakes of the machine's.
struct Capped(File, usize);

/// What is written where the measure is full.
const CUT: &[u8] = b"\ncki-build: what else it says is left out\n";

impl Capped {
    /// A mebibyte.
    fn new(file: File) -> Self {
        Self(file, 1 << 20)
    }
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.1);
        // A full disk keeps the machine from nothing.
        let _ = self.0.write_all(&bytes[..count]);
        if self.1 > 0 && count == self.1 {
            let _ = self.0.write_all(CUT);
        }
        self.1 -= count;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_one_says_in_the_log_is_cut_at_a_mebibyte_and_that_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let copy = Capped::new(File::create(&path).unwrap());
        let talks = io::repeat(b'x').take(3 << 20);
        Tail::default().follow(talks, Some(Box::new(copy)));
        let log = std::fs::read(&path).unwrap();
        assert_eq!(log.len(), (1 << 20) + CUT.len());
        assert!(log.ends_with(CUT));
    }
}

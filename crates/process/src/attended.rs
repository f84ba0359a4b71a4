// SPDX-License-Identifier: MIT OR Apache-2.0

//! A command that is looked after while it runs: it is fed, heard, and ended when it is to go on no longer.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::PathBuf;
use std::process::Output;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;

use crate::exec::{Command, ExecError};

/// Time between two looks at it, if nothing comes of it: 20 ms.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// What is read or written at once.
const PIECE: usize = 64 << 10;

/// What is kept of each output. Whoever says more means harm, or is not what was asked.
const MOST: usize = 1 << 20;

/// How a command came to its end.
#[derive(Debug)]
pub enum Attended {
    /// By itself.
    Ended(Output),
    /// It was to go on no longer, and was killed.
    Stopped,
    /// It said more than a mebibyte, and was killed.
    TooMuch,
}

impl Command {
    /// Runs with `files`, one behind the other, as its input, or with none, and captures both outputs, whatever the
    /// status. `written` is told how much of the files has been taken. As soon as `stop` says so, the command is
    /// killed.
    ///
    /// # Errors
    /// [`ExecError::Spawn`] when it cannot be started, or a file cannot be read.
    pub fn attended(
        &self,
        files: &[PathBuf],
        written: &dyn Fn(u64),
        stop: &dyn Fn() -> bool,
    ) -> Result<Attended, ExecError> {
        let failed = |source| self.spawn_error(source);
        let files: io::Result<VecDeque<File>> = files.iter().map(File::open).collect();
        let files = files.map_err(failed)?;
        // Another child that had our ends would keep them open.
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()));
        let ((stdin, to), (out, stdout), (err, stderr)) = (pipe()?, pipe()?, pipe()?);
        for end in [&to, &out, &err] {
            ioctl_fionbio(end, true).map_err(|error| failed(error.into()))?;
        }
        // The expression goes before anybody waits: it has the other ends, which the command alone is to have.
        let handle = self
            .expression(Signal::TERM)
            .stdin_file(stdin)
            .stdout_file(stdout)
            .stderr_file(stderr)
            .start()
            .map_err(failed)?;
        let feed = Feed {
            files,
            to: Some(to.into()),
            piece: Vec::new(),
            taken: 0,
            sum: 0,
        };
        let attended = attend(&handle, feed, [out, err].map(Heard::new), written, stop);
        if !matches!(attended, Ok(Attended::Ended(_))) {
            // One that has just ended by itself cannot be killed, and needs not be.
            let _ = handle.kill();
        }
        attended.map_err(failed)
    }
}

fn attend(
    handle: &duct::Handle,
    mut feed: Feed,
    mut heard: [Heard; 2],
    written: &dyn Fn(u64),
    stop: &dyn Fn() -> bool,
) -> io::Result<Attended> {
    while !stop() {
        let mut ends: Vec<PollFd<'_>> = heard
            .iter()
            .filter_map(|heard| heard.from.as_ref())
            .map(|from| PollFd::new(from, PollFlags::IN))
            .collect();
        ends.extend(feed.to.as_ref().map(|to| PollFd::new(to, PollFlags::OUT)));
        match poll(&mut ends, Some(&PAUSE)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        feed.go_on(written)?;
        for heard in &mut heard {
            heard.go_on()?;
            if heard.bytes.len() > MOST {
                return Ok(Attended::TooMuch);
            }
        }
        if heard.iter().any(|heard| heard.from.is_some()) {
            continue;
        }
        if let Some(output) = handle.try_wait()? {
            let status = output.status;
            let [stdout, stderr] = heard.map(|heard| heard.bytes);
            return Ok(Attended::Ended(Output {
                status,
                stdout,
                stderr,
            }));
        }
    }
    Ok(Attended::Stopped)
}

/// What is written to it.
struct Feed {
    files: VecDeque<File>,
    /// None at the end, or when it reads nothing more; why, its status says.
    to: Option<File>,
    piece: Vec<u8>,
    /// How much of the piece has been taken.
    taken: usize,
    sum: u64,
}

impl Feed {
    /// Writes what is taken at once, of a piece at most.
    fn go_on(&mut self, written: &dyn Fn(u64)) -> io::Result<()> {
        let Some(to) = &mut self.to else {
            return Ok(());
        };
        while self.taken == self.piece.len() {
            let Some(file) = self.files.front_mut() else {
                self.to = None;
                return Ok(());
            };
            self.piece.resize(PIECE, 0);
            let length = file.read(&mut self.piece)?;
            self.piece.truncate(length);
            self.taken = 0;
            if length == 0 {
                self.files.pop_front();
            }
        }
        match to.write(&self.piece[self.taken..]) {
            Ok(length) => {
                self.taken += length;
                self.sum += length as u64;
                written(self.sum);
            }
            Err(error) if is_for_later(&error) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.to = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What it says.
struct Heard {
    /// None at the end.
    from: Option<File>,
    bytes: Vec<u8>,
}

impl Heard {
    fn new(from: rustix::fd::OwnedFd) -> Self {
        Self {
            from: Some(from.into()),
            bytes: Vec::new(),
        }
    }

    /// Reads what is there, of a piece at most.
    fn go_on(&mut self) -> io::Result<()> {
        let Some(from) = &mut self.from else {
            return Ok(());
        };
        let mut piece = vec![0; PIECE];
        match from.read(&mut piece) {
            Ok(0) => self.from = None,
            Ok(length) => self.bytes.extend_from_slice(&piece[..length]),
            Err(error) if is_for_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    use super::*;

    fn ended(attended: Result<Attended, ExecError>) -> Output {
        match attended {
            Ok(Attended::Ended(output)) => output,
            other => panic!("it ends by itself: {other:?}"),
        }
    }

    fn shell(script: &str) -> Command {
        Command::new("sh").args(["-c", script])
    }

    #[test]
    fn files_are_the_input_one_behind_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
        std::fs::write(&one, vec![b'a'; 3 * PIECE + 1]).unwrap();
        std::fs::write(&two, "b").unwrap();
        let told = Cell::new(0);
        let output = ended(shell("tail -c 2; echo said >&2; exit 3").attended(
            &[one, two],
            &|sum| told.set(sum),
            &|| false,
        ));
        assert_eq!(output.stdout, b"ab");
        assert_eq!(output.stderr, b"said\n");
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(told.into_inner(), 3 * PIECE as u64 + 2);
    }

    #[test]
    fn who_reads_nothing_is_no_failure_and_who_is_stopped_ends() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, vec![0; 4 * PIECE]).unwrap();
        let files = [file];
        let output = ended(shell("exit 4").attended(&files, &|_| (), &|| false));
        assert_eq!(output.status.code(), Some(4));
        let start = Instant::now();
        let begun = Cell::new(false);
        let stop = || begun.replace(true);
        let stopped = shell("exec sleep 1000").attended(&files, &|_| (), &stop);
        assert!(matches!(stopped, Ok(Attended::Stopped)), "{stopped:?}");
        assert!(start.elapsed() < Duration::from_secs(100));
        let absent = shell("true").attended(&[dir.path().join("none")], &|_| (), &|| false);
        assert!(matches!(absent, Err(ExecError::Spawn { .. })));
    }

    #[test]
    fn who_says_too_much_is_killed_and_who_says_much_is_heard() {
        for script in ["exec yes", "exec yes >&2"] {
            let said = shell(script).attended(&[], &|_| (), &|| false);
            assert!(matches!(said, Ok(Attended::TooMuch)), "{script}: {said:?}");
        }
        let output = ended(
            shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2").attended(
                &[],
                &|_| (),
                &|| false,
            ),
        );
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (1_000_000, 1_000_000)
        );
    }

    #[test]
    fn what_a_command_leaves_behind_with_its_output_does_not_outlast_the_end() {
        let start = Instant::now();
        let late = || start.elapsed() > Duration::from_millis(300);
        let attended = shell("sleep 10 & exit 0").attended(&[], &|_| (), &late);
        assert!(matches!(attended, Ok(Attended::Stopped)), "{attended:?}");
        assert!(start.elapsed() < Duration::from_secs(9));
    }
}

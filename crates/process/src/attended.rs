// SPDX-License-Identifier: MIT OR Apache-2.0

//! A command that is looked after while it runs: it is fed, and ended when it is to go on no longer.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::Output;
use std::thread;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;

use crate::exec::{Command, ExecError};

/// Time between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

/// What is written at once.
const PIECE: usize = 64 << 10;

impl Command {
    /// Runs with `files`, one behind the other, as its input, or with none, and captures both outputs, whatever the
    /// status. `written` is told how much of the files has been taken. As soon as `stop` says so, the command is killed,
    /// and there is no output.
    ///
    /// # Errors
    /// [`ExecError::Spawn`] when it cannot be started, or a file cannot be read.
    pub fn attended(
        &self,
        files: &[PathBuf],
        written: &(dyn Fn(u64) + Sync),
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Output>, ExecError> {
        let failed = |source| self.spawn_error(source);
        let mut opened = Vec::new();
        for file in files {
            opened.push(File::open(file).map_err(failed)?);
        }
        // Another child that had the end for writing would keep it open.
        let (reader, writer) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        // The expression goes before anybody waits: it has the other end, which the command alone is to have.
        let handle = self
            .expression(Signal::TERM)
            .stdin_file(reader)
            .stdout_capture()
            .stderr_capture()
            .start()
            .map_err(failed)?;
        thread::scope(|scope| {
            let feeder = scope.spawn(move || feed(opened, File::from(writer), written));
            let output = loop {
                if let Some(output) = handle.try_wait().map_err(failed)? {
                    break Some(output.clone());
                }
                if stop() {
                    handle.kill().map_err(failed)?;
                    break None;
                }
                thread::sleep(PAUSE);
            };
            match feeder.join() {
                // Who reads nothing more says why by its status.
                Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
                _ => Ok(output),
            }
        })
    }
}

fn feed(files: Vec<File>, mut to: File, written: &(dyn Fn(u64) + Sync)) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut sum = 0;
    for mut file in files {
        loop {
            let length = file.read(&mut piece)?;
            if length == 0 {
                break;
            }
            to.write_all(&piece[..length])?;
            sum += length as u64;
            written(sum);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    use super::*;

    fn shell(script: &str) -> Command {
        Command::new("sh").args(["-c", script])
    }

    #[test]
    fn files_are_the_input_one_behind_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
        std::fs::write(&one, vec![b'a'; 3 * PIECE + 1]).unwrap();
        std::fs::write(&two, "b").unwrap();
        let told = AtomicU64::new(0);
        let output = shell("tail -c 2; echo said >&2; exit 3")
            .attended(
                &[one, two],
                &|sum| told.store(sum, Ordering::Relaxed),
                &|| false,
            )
            .unwrap()
            .expect("nobody stopped it");
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
        let output = shell("exit 4").attended(&files, &|_| (), &|| false);
        assert_eq!(output.unwrap().expect("it ends").status.code(), Some(4));
        let start = Instant::now();
        let output = shell("exec sleep 1000").attended(&files, &|_| (), &|| true);
        assert!(output.unwrap().is_none());
        assert!(start.elapsed() < Duration::from_secs(100));
        let absent = shell("true").attended(&[dir.path().join("none")], &|_| (), &|| false);
        assert!(matches!(absent, Err(ExecError::Spawn { .. })));
    }
}

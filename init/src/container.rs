// SPDX-License-Identifier: MIT OR Apache-2.0

//! A container: the launcher, which runs the program in it and tells how that ended.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use cki_session::{Container, FailureKind, GuestMessage, LineBuffer, Run, decode};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::unistd::pipe2;

use crate::pump::non_blocking;
use crate::runtime;

/// Most messages that a launcher has to say: that the program was started, and how it ended.
const MESSAGES: usize = 2;

/// Starts the launcher with pipes for the standard streams and one for what it has to tell. `disk` is the
/// application image. The runtime disk is mounted and its module loaded.
///
/// # Errors
/// Those of fork and exec.
pub fn start(run: &Run, container: &Container, disk: &Path) -> io::Result<(Child, Launcher)> {
    let (told, teller) = pipe2(OFlag::O_CLOEXEC)?;
    // PID 1 has one thread, so no other child inherits the descriptor meanwhile.
    fcntl(&teller, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let mut command = Command::new(format!("{}/bin/cki", runtime::DIRECTORY));
    let child = command
        .args(arguments(run, container, disk, teller.as_raw_fd()))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let launcher = Launcher {
        told: Some(non_blocking(told)?),
        lines: LineBuffer::default(),
        said: Vec::new(),
        broken: None,
    };
    Ok((child, launcher))
}

/// What `cki` is called with.
fn arguments(run: &Run, container: &Container, disk: &Path, status_fd: i32) -> Vec<String> {
    let file = |name: &str| format!("{}/lib/{name}", runtime::DIRECTORY);
    let mut words = vec!["run".to_owned()];
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    option("--kernel", file("vmlinux"));
    option("--initrd", file("initrd"));
    option("--root", disk.display().to_string());
    option("--memory", format!("{}M", container.memory_mib));
    option("--json-status-fd", status_fd.to_string());
    option("--cwd", run.cwd.clone());
    option("--hostname", run.hostname.clone());
    for (name, value) in &run.env {
        option("--env", format!("{name}={value}"));
    }
    if container.console {
        words.push("--verbose".to_owned());
    }
    // In one word: it may begin with a dash or be empty.
    words.push(format!("--cmdline={}", container.cmdline));
    words.push("--".to_owned());
    words.extend(run.argv.iter().cloned());
    words
}

/// A running launcher, from its reader's side.
#[derive(Debug)]
pub struct Launcher {
    told: Option<File>,
    lines: LineBuffer,
    said: Vec<GuestMessage>,
    broken: Option<String>,
}

impl Launcher {
    /// What to wait for input on; `None` once it has said everything.
    #[must_use]
    pub fn channel(&self) -> Option<BorrowedFd<'_>> {
        self.told.as_ref().map(AsFd::as_fd)
    }

    /// Reads what it has said; gives the message that the program was started, when that comes.
    pub fn listen(&mut self) -> Option<GuestMessage> {
        let before = self.said.len();
        if let Err(breach) = self.read() {
            self.broken = Some(breach);
            self.told = None;
        }
        let mut new = self.said.iter().skip(before);
        new.find(|message| matches!(message, GuestMessage::Started { .. }))
            .cloned()
    }

    fn read(&mut self) -> Result<(), String> {
        let mut bytes = [0; 4096];
        while let Some(told) = &mut self.told {
            match told.read(&mut bytes) {
                Ok(0) => self.told = None,
                Ok(length) => self.lines.push(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        let text = |error: cki_session::ProtocolError| error.to_string();
        while let Some(line) = self.lines.next_line().map_err(text)? {
            self.said.push(decode(&line).map_err(text)?);
            if self.said.len() > MESSAGES {
                return Err("more than it has to say".to_owned());
            }
        }
        Ok(())
    }

    /// The last message, once the launcher has ended.
    #[must_use]
    pub fn last_message(mut self, ended: ExitStatus) -> GuestMessage {
        let _ = self.listen();
        let how = match self.broken {
            Some(breach) => format!("told nonsense: {breach}"),
            None => match self.said.pop() {
                Some(last) if last.is_last() => return last,
                _ => format!("ended without a word ({ended})"),
            },
        };
        GuestMessage::Failed {
            message: format!("the launcher of the container {how}"),
            kind: FailureKind::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use cki_session::Isolation;

    fn run() -> Run {
        Run {
            argv: vec!["ls".into(), "--memory".into()],
            env: vec![("A".into(), "b=c".into())],
            cwd: "/usr".into(),
            hostname: "box".into(),
            container: None,
            pool_mib: None,
        }
    }

    #[test]
    fn the_launchers_command_line_is_this() {
        let container = Container {
            memory_mib: 512,
            cmdline: "-x y".into(),
            console: true,
        };
        let words = arguments(&run(), &container, Path::new("/dev/vda"), 9);
        assert_eq!(
            words,
            [
                "run",
                "--kernel",
                "/runtime/lib/vmlinux",
                "--initrd",
                "/runtime/lib/initrd",
                "--root",
                "/dev/vda",
                "--memory",
                "512M",
                "--json-status-fd",
                "9",
                "--cwd",
                "/usr",
                "--hostname",
                "box",
                "--env",
                "A=b=c",
                "--verbose",
                "--cmdline=-x y",
                "--",
                "ls",
                "--memory"
            ]
        );
    }

    fn launcher() -> (Launcher, File) {
        let (told, teller) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let launcher = Launcher {
            told: Some(non_blocking(told).unwrap()),
            lines: LineBuffer::default(),
            said: Vec::new(),
            broken: None,
        };
        (launcher, File::from(teller))
    }

    fn status(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn what_the_launcher_says_is_passed_on() {
        let (mut launcher, mut teller) = launcher();
        assert_eq!(launcher.listen(), None);
        let started = GuestMessage::Started {
            pid: 7,
            isolation: Isolation::Full,
        };
        teller
            .write_all(&cki_session::encode(&started).unwrap())
            .unwrap();
        assert_eq!(launcher.listen(), Some(started));
        let exited = GuestMessage::Exited { status: 3 };
        teller
            .write_all(&cki_session::encode(&exited).unwrap())
            .unwrap();
        drop(teller);
        assert_eq!(launcher.listen(), None);
        assert!(launcher.channel().is_none());
        assert_eq!(launcher.last_message(status(3)), exited);
    }

    #[test]
    fn a_launcher_that_dies_silently_is_a_failure_of_ours() {
        for said in [
            &b""[..],
            b"{\"type\":\"started\",\"pid\":7,\"isolation\":\"full\"}\n",
            b"{\"type\":\"exi",
            b"killed\n",
        ] {
            let (launcher, mut teller) = launcher();
            teller.write_all(said).unwrap();
            drop(teller);
            let message = launcher.last_message(ExitStatus::from_raw(libc::SIGKILL));
            assert!(
                matches!(
                    message,
                    GuestMessage::Failed {
                        kind: FailureKind::Internal,
                        ..
                    }
                ),
                "{message:?}"
            );
        }
    }

    #[test]
    fn a_launcher_cannot_talk_without_end() {
        let (mut launcher, mut teller) = launcher();
        for _ in 0..5 {
            teller
                .write_all(b"{\"type\":\"exited\",\"status\":0}\n")
                .unwrap();
        }
        assert_eq!(launcher.listen(), None);
        assert!(launcher.channel().is_none());
        let message = launcher.last_message(status(0));
        assert!(
            matches!(message, GuestMessage::Failed { .. }),
            "{message:?}"
        );
    }
}

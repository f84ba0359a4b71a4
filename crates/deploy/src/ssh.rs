// SPDX-License-Identifier: MIT OR Apache-2.0

//! One question to a host, over a connection of its own.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use cki_process::attended::Attended;
use cki_process::exec::Command;

use super::error::Trouble;
use super::host::SshHost;
use super::name::{last_line, shown};

/// How hosts are asked.
#[derive(Debug, Clone)]
pub struct Ssh {
    /// The program.
    pub program: OsString,
    /// Its configuration, if not its own.
    pub config: Option<PathBuf>,
    /// The host.
    pub host: SshHost,
}

/// How long a host is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the first word to the last.
    pub whole: Duration,
    /// While there is more to write, between two pieces that it takes.
    pub still: Duration,
}

impl Patience {
    /// So long.
    #[must_use]
    pub const fn of(whole: Duration) -> Self {
        Self {
            whole,
            still: whole,
        }
    }
}

/// What is not for a host, which a container may have taken over, whatever the user's configuration says: the agent
/// and tickets, which log in elsewhere, and the display.
const FLAGS: [&str; 4] = ["-T", "-a", "-k", "-x"];

/// The user's own configuration holds, known keys and all, but for what has a connection be new, and end, and for what
/// gives a host more than a script, or takes one whose key is not known.
const OPTIONS: [&str; 17] = [
    // Its words go to our file, whatever it is told of them otherwise.
    "LogLevel=INFO",
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    // A command that says which keys are known knows what whoever made it wants, and nobody has compared them. ssh
    // before 8.5 has no such commands. A host adds no keys, either.
    "IgnoreUnknown=KnownHostsCommand",
    "KnownHostsCommand=none",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "NoHostAuthenticationForLocalhost=no",
    "ClearAllForwardings=yes",
    "Tunnel=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "ControlMaster=no",
    "ControlPath=none",
    // Keys are agreed on in that time, too, which takes a busy host a while.
    "ConnectTimeout=30",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
];

/// The status of ssh itself, when it has none of the script's.
const SSH_FAILED: i32 = 255;

/// Most of what ssh itself says that is looked at, in bytes.
const MOST_SAID: u64 = 1 << 16;

impl Ssh {
    /// The command that has the host's shell do a script. What ssh itself says goes to the file `log`: standard error
    /// is the host's, which could say the same.
    #[must_use]
    pub fn command(&self, script: &str, log: &Path) -> Command {
        let mut command = Command::new(&self.program)
            // Which of ssh's reasons it is, its words say.
            .env("LC_ALL", "C")
            .args(FLAGS)
            .arg("-E")
            .arg(log);
        for option in OPTIONS {
            command = command.args(["-o", option]);
        }
        if let Some(config) = &self.config {
            command = command.arg("-F").arg(config);
        }
        if let Some(port) = self.host.port {
            command = command.args(["-p".to_owned(), port.to_string()]);
        }
        command.args([self.host.destination.as_str(), script])
    }

    /// Has it do a script with `files` as its input, until `stop` says that it is to end, or patience does.
    ///
    /// # Errors
    /// [`Trouble`] when there was no connection up to the end of the script.
    pub fn run(
        &self,
        script: &str,
        files: &[PathBuf],
        written: &dyn Fn(u64),
        patience: Patience,
        stop: &dyn Fn() -> bool,
    ) -> Result<Output, Trouble> {
        if stop() {
            return Err(Trouble::Interrupted);
        }
        let start = Instant::now();
        let lengths = files.iter().filter_map(|file| file.metadata().ok());
        let all: u64 = lengths.map(|metadata| metadata.len()).sum();
        let last = Cell::new((start, 0));
        let late = || start.elapsed() >= patience.whole;
        let stuck = || {
            let (when, sum) = last.get();
            sum < all && when.elapsed() >= patience.still
        };
        let written = |sum| {
            last.set((Instant::now(), sum));
            written(sum);
        };
        let log = tempfile::NamedTempFile::new().map_err(Trouble::Log)?;
        let attended = self
            .command(script, log.path())
            .attended(files, &written, &|| stop() || late() || stuck())?;
        let output = match attended {
            Attended::Ended(output) => output,
            Attended::TooMuch => return Err(Trouble::TooMuch),
            Attended::Stopped if stop() => return Err(Trouble::Interrupted),
            Attended::Stopped if late() => return Err(Trouble::Late),
            Attended::Stopped => return Err(Trouble::Stuck(patience.still)),
        };
        match output.status.code() {
            Some(code) if code != SSH_FAILED => Ok(output),
            // Ctrl-C on a terminal ends ssh, too.
            _ if stop() => Err(Trouble::Interrupted),
            Some(_) => Err(why(&said(log.path()).map_err(Trouble::Log)?)),
            None => Err(Trouble::Lost("ssh was ended by a signal".to_owned())),
        }
    }
}

/// What ssh has written to its log.
fn said(log: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(log)?.take(MOST_SAID).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What is meant by what ssh says, of which nothing is the host's but what it gives as its reason for hanging up.
fn why(said: &str) -> Trouble {
    let hangs_up = |line: &&str| line.starts_with("Received disconnect from ");
    if let Some(line) = said.lines().find(hangs_up) {
        return Trouble::Lost(shown(line));
    }
    let last = last_line(said).unwrap_or_else(|| "without a word".to_owned());
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
        Trouble::HostKeyChanged
    } else if says(&["Host key verification failed"]) {
        Trouble::HostKeyUnknown
    } else if says(&["Permission denied", "Too many authentication failures"]) {
        Trouble::NotLetIn(last)
    } else if says(&[
        "Could not resolve",
        "Connection refused",
        "timed out during banner",
        "Connection timed out",
        "No route to host",
        "Network is unreachable",
    ]) {
        Trouble::Unreachable(last)
    } else {
        Trouble::Lost(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_a_connection_of_its_own_and_the_users_configuration() {
        let ssh = Ssh {
            program: "ssh".into(),
            config: None,
            host: "root@a.example:2222".parse().expect("a host"),
        };
        let log = Path::new("log");
        let line = "ssh -T -a -k -x -E log -o LogLevel=INFO -o BatchMode=yes -o StrictHostKeyChecking=yes \
                    -o IgnoreUnknown=KnownHostsCommand -o KnownHostsCommand=none -o UpdateHostKeys=no \
                    -o VerifyHostKeyDNS=no -o NoHostAuthenticationForLocalhost=no -o ClearAllForwardings=yes \
                    -o Tunnel=no -o PermitLocalCommand=no -o RemoteCommand=none -o ControlMaster=no \
                    -o ControlPath=none -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4";
        let expected: Vec<&str> = line.split(' ').collect();
        let argv = ssh.command("true; x", log).argv();
        assert_eq!(argv[..expected.len()], expected);
        assert_eq!(
            argv[expected.len()..],
            ["-p", "2222", "root@a.example", "true; x"]
        );
        let ssh = Ssh {
            config: Some("f".into()),
            host: "b".parse().expect("a host"),
            ..ssh
        };
        assert_eq!(
            ssh.command("x", log).argv()[expected.len()..],
            ["-F", "f", "b", "x"]
        );
    }

    #[test]
    fn what_ssh_says_has_a_remedy() {
        for (said, remedy) in [
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                "ssh-keygen -R",
            ),
            (
                "No ED25519 host key is known for a\nHost key verification failed.\n",
                "connect once by hand",
            ),
            ("root@a: Permission denied (publickey).", "ssh-add -l"),
            (
                "ssh: connect to host a port 22: Connection refused\n",
                "does it run",
            ),
            (
                "ssh: Could not resolve hostname a: Name or service not known\n",
                "its name",
            ),
            (
                "client_loop: send disconnect: Broken pipe\n\n",
                "(client_loop: send disconnect: Broken pipe)",
            ),
            ("", "lost (without a word)"),
            // The reason is the host's own word.
            (
                "Received disconnect from 192.0.2.1 port 22:2: no\nHost key verification failed.\n",
                "lost (Received disconnect from 192.0.2.1 port 22:2: no)",
            ),
        ] {
            let text = why(said).to_string();
            assert!(text.contains(remedy), "{text}");
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! A shell on every console: what the disk image gives its user.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cki_session::Memory;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

use crate::program::{inheritance, process};
use crate::system::digest::Digest;
use crate::system::{machine, mounts, runtime};

/// A shell that ends sooner than this is broken; it is started again only after as long.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// The terminals behind the kernel's consoles, as `/dev` names, given the content of
/// `/sys/class/tty/console/active` ("tty0 ttyS0"). tty0 is whichever screen is shown, which nobody
/// can log in to; the first screen is tty1.
#[must_use]
pub fn terminals(active: &str) -> Vec<String> {
    active
        .split_ascii_whitespace()
        .map(|name| if name == "tty0" { "tty1" } else { name })
        .map(str::to_owned)
        .collect()
}

/// Keeps a shell on every console until the machine is switched off. With a pool, containers can be
/// started from there, if a disk is the runtime disk by its serial number or holds `runtime`; why not, if not, is on
/// every console, and the shells are there all the same.
///
/// # Errors
/// When there is no console, or no shell can be started at all.
pub fn run(
    pool: Option<Memory>,
    runtime: Option<&Digest>,
) -> anyhow::Result<std::convert::Infallible> {
    mounts::mount_kernel_filesystems(Path::new("/"))?;
    let containers = pool.map(|pool| runtime::start(pool, runtime));
    nix::unistd::sethostname("cki")?;
    let mut mask = SigSet::empty();
    // The signals of busybox's poweroff, halt and reboot, and of Ctrl-Alt-Del.
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGTERM,
        Signal::SIGINT,
    ] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = SignalFd::new(&mask)?;

    let active = fs::read_to_string("/sys/class/tty/console/active")?;
    let terminals = terminals(&active);
    anyhow::ensure!(!terminals.is_empty(), "the kernel has no console");
    let mut shells = BTreeMap::new();
    for terminal in terminals {
        if let Some(Err(error)) = &containers {
            say(&terminal, &format!("no containers: {error}"));
        }
        let started = Instant::now();
        shells.insert(start(&terminal)?, (terminal, started));
    }
    loop {
        let Some(signal) = signals.read_signal()? else {
            continue;
        };
        match Signal::try_from(signal.ssi_signo as i32)? {
            Signal::SIGUSR1 | Signal::SIGUSR2 => {
                process::kill_everything();
                machine::power_off()
            }
            Signal::SIGTERM | Signal::SIGINT => {
                process::kill_everything();
                machine::restart()
            }
            _ => {}
        }
        while let Some((pid, _)) = process::reap() {
            if let Some((terminal, started)) = shells.remove(&pid) {
                std::thread::sleep(SHORT_LIFE.saturating_sub(started.elapsed()));
                let started = Instant::now();
                shells.insert(start(&terminal)?, (terminal, started));
            }
        }
    }
}

/// Prints a line of init's on a terminal: the kernel's own console is only one of them.
fn say(terminal: &str, message: &str) {
    let device = OpenOptions::new()
        .write(true)
        .open(Path::new("/dev").join(terminal));
    // A terminal that is broken shows its shell no better.
    let _ = device.and_then(|mut device| write!(device, "cki-init: {message}\r\n"));
}

/// Starts a login shell on a terminal, as leader of a session that owns it.
fn start(terminal: &str) -> io::Result<i32> {
    let device: PathBuf = Path::new("/dev").join(terminal);
    let open = || OpenOptions::new().read(true).write(true).open(&device);
    let mut shell = Command::new("/bin/busybox");
    shell
        .args(["setsid", "-c", "/bin/sh", "-l"])
        .env_clear()
        .env("PATH", "/sbin:/bin:/runtime/bin")
        .env("HOME", "/root")
        .env(
            "TERM",
            if terminal.starts_with("ttyS") {
                "vt102"
            } else {
                "linux"
            },
        )
        .env("PS1", "\\h:\\w# ")
        .current_dir("/root")
        .stdin(Stdio::from(open()?))
        .stdout(Stdio::from(open()?))
        .stderr(Stdio::from(open()?));
    let child = inheritance::with_fresh_signals(&mut shell).spawn()?;
    Ok(process::id(&child))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_that_is_shown_stands_for_the_first_one() {
        assert_eq!(terminals("tty0 ttyS0\n"), ["tty1", "ttyS0"]);
        assert_eq!(terminals("ttyS0\n"), ["ttyS0"]);
        assert!(terminals("\n").is_empty());
    }
}

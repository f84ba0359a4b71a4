// SPDX-License-Identifier: MIT OR Apache-2.0

//! A user at a terminal, who types and reads.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

/// Longest time that something may take to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with a program in its foreground.
#[derive(Debug)]
pub struct Screen {
    child: Child,
    master: File,
    terminal: OwnedFd,
    before: Termios,
    seen: Vec<u8>,
}

impl Screen {
    /// Starts a program on a terminal of 30 lines of 100 characters.
    ///
    /// # Panics
    /// When that does not work.
    #[must_use]
    pub fn start(program: &std::path::Path, arguments: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a terminal");
        unlockpt(&master).expect("it is unlocked");
        let terminal = ioctl_tiocgptpeer(&master, flags).expect("its other end");
        let end = || terminal.try_clone().expect("a descriptor");
        // setsid makes the terminal the controlling one, and becomes the program.
        let child = Command::new("setsid")
            .args(["--ctty"])
            .arg(program)
            .args(arguments)
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("setsid is started");
        let screen = Self {
            child,
            before: tcgetattr(&terminal).expect("settings"),
            master: File::from(master),
            terminal,
            seen: Vec::new(),
        };
        screen.resize(30, 100);
        screen
    }

    /// Gives the terminal another size.
    ///
    /// # Panics
    /// When that does not work.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.terminal, size).expect("a size");
    }

    /// Whether it is set as it was at first.
    ///
    /// # Panics
    /// When it does not say.
    #[must_use]
    pub fn is_as_before(&self) -> bool {
        let now = tcgetattr(&self.terminal).expect("settings");
        format!("{now:?}") == format!("{:?}", self.before)
    }

    /// Whether every key goes to the program as it is typed.
    ///
    /// # Panics
    /// When it does not say.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.terminal).expect("settings").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHO)
    }

    /// Types.
    ///
    /// # Panics
    /// When nobody takes it.
    pub fn type_in(&mut self, keys: &str) {
        self.master
            .write_all(keys.as_bytes())
            .expect("keys are typed");
    }

    /// Reads until `text` has come, and gives all before it; what follows is left.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn wait_for(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let found = self
                .seen
                .windows(text.len())
                .position(|part| part == text.as_bytes());
            if let Some(at) = found {
                let rest = self.seen.split_off(at + text.len());
                let before = std::mem::replace(&mut self.seen, rest);
                return String::from_utf8_lossy(&before[..at]).into_owned();
            }
            assert!(
                start.elapsed() < PATIENCE && self.read(),
                "{text:?} did not come: {}",
                String::from_utf8_lossy(&self.seen)
            );
        }
    }

    /// Types a line of a shell, and waits for `text` in what follows its echo.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn run(&mut self, line: &str, text: &str) {
        self.type_in(&format!("{line}\r"));
        self.wait_for("\r\n");
        self.wait_for(text);
    }

    /// Reads what comes in a moment; whether the terminal is still there.
    fn read(&mut self) -> bool {
        let moment = Timespec::try_from(Duration::from_millis(200)).expect("a short time");
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut fds, Some(&moment)).expect("poll works") == 0 {
            return true;
        }
        let mut bytes = [0; 4096];
        match self.master.read(&mut bytes) {
            Ok(count) => {
                self.seen.extend(&bytes[..count]);
                count > 0
            }
            Err(_) => false,
        }
    }

    /// The process that was started.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When that does not work.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the signal is sent");
    }

    /// Waits, until `condition` holds.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < PATIENCE, "not {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end, reading along.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is waited for") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            self.read();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

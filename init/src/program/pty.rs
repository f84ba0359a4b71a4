// SPDX-License-Identifier: MIT OR Apache-2.0

//! A terminal of a program's own (pty(7)): the program has the one end, init the other.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use cki_session::Terminal;
use rustix::fs::{Gid, Mode, Uid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{SpecialCodeIndex, Winsize, tcgetattr, tcsetwinsize};

/// The group of terminals in Debian's images (`tty`), which `write(1)` has.
const GROUP_TTY: u32 = 5;

/// A terminal.
#[derive(Debug)]
pub struct Pty {
    /// Our end: what is read is output, what is written is typed.
    master: OwnedFd,
    /// The program's end. As long as it is open here, a program that closes its own may open `/dev/tty` again.
    program: OwnedFd,
}

impl Pty {
    /// A new terminal of this size, from the devpts at `/dev/pts`.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn open(size: Terminal) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        unlockpt(&master)?;
        let program = ioctl_tiocgptpeer(&master, flags)?;
        let pty = Pty { master, program };
        pty.resize(size)?;
        Ok(pty)
    }

    /// Makes it a user's own.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn give_to(&self, uid: u32) -> io::Result<()> {
        let (owner, group) = (Uid::from_raw(uid), Gid::from_raw(GROUP_TTY));
        rustix::fs::fchown(&self.program, Some(owner), Some(group))?;
        Ok(rustix::fs::fchmod(
            &self.program,
            Mode::from_raw_mode(0o620),
        )?)
    }

    /// Gives it another size, of which the program hears by SIGWINCH.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn resize(&self, size: Terminal) -> io::Result<()> {
        let size = Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(&self.program, size)?)
    }

    /// The program's end, for one of its streams.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn program(&self) -> io::Result<OwnedFd> {
        self.program.try_clone()
    }

    /// Our end, for one direction.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn master(&self) -> io::Result<OwnedFd> {
        self.master.try_clone()
    }
}

/// What is typed at the end of input, given the last byte before it: a terminal knows no other end of file.
/// The character ends a line first, if one was begun.
#[must_use]
pub fn end_of_file(master: &File, last: Option<u8>) -> Vec<u8> {
    let Ok(settings) = tcgetattr(master) else {
        return Vec::new();
    };
    let line_begun = last.is_some_and(|byte| byte != b'\n' && byte != b'\r');
    let character = settings.special_codes[SpecialCodeIndex::VEOF];
    vec![character; 1 + usize::from(line_begun)]
}

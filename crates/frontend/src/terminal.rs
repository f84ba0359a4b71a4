// SPDX-License-Identifier: MIT OR Apache-2.0

//! The terminal in front of the user, while a program has one of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cki_session::Terminal;
use rustix::process::getpgrp;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};

/// The user's terminal. Keys that are typed are the program's once it is [raw](UserTerminal::enter); dropping this
/// makes it again what it was.
#[derive(Debug)]
pub struct UserTerminal {
    /// Where keys come from, if that is a terminal, and how it was found.
    keyboard: Option<(OwnedFd, Termios)>,
    /// What shows output, if any of the standard streams is a terminal.
    screen: Option<OwnedFd>,
    raw: bool,
}

impl UserTerminal {
    /// What the standard streams of this process are connected to.
    ///
    /// # Errors
    /// When no descriptor is left, or a terminal does not say how it is set.
    pub fn of_streams() -> io::Result<Self> {
        Self::new(stdin(), [stdout(), stdin(), stderr()])
    }

    fn new(keyboard: BorrowedFd<'_>, screens: [BorrowedFd<'_>; 3]) -> io::Result<Self> {
        let settings = isatty(keyboard).then(|| tcgetattr(keyboard)).transpose()?;
        let keyboard = settings.map(|settings| Ok((keyboard.try_clone_to_owned()?, settings)));
        let screen = screens.into_iter().find(|&screen| isatty(screen));
        Ok(UserTerminal {
            keyboard: keyboard.transpose().map_err(|error: io::Error| error)?,
            screen: screen
                .map(|screen| screen.try_clone_to_owned())
                .transpose()?,
            raw: false,
        })
    }

    /// Whether standard input is a terminal.
    #[must_use]
    pub fn has_keyboard(&self) -> bool {
        self.keyboard.is_some()
    }

    /// The variable by which a program learns what kind of terminal shows what it draws; none for one that can do
    /// nothing but print lines.
    #[must_use]
    pub fn kind() -> Option<(String, String)> {
        let kind = std::env::var("TERM").ok();
        let kind = kind.filter(|kind| !kind.is_empty() && kind != "dumb");
        kind.map(|kind| ("TERM".to_owned(), kind))
    }

    /// Its size now.
    #[must_use]
    pub fn size(&self) -> Terminal {
        let size = self
            .screen
            .as_ref()
            .and_then(|screen| tcgetwinsize(screen).ok());
        size.map_or(Terminal::USUAL, |size| Terminal {
            rows: size.ws_row,
            columns: size.ws_col,
        })
    }

    /// Has every key reach the program, Ctrl-C too. In the background, this waits for the foreground, as any access to
    /// a terminal does.
    pub fn enter(&mut self) {
        if let Some((keyboard, settings)) = &self.keyboard {
            let mut raw = settings.clone();
            raw.make_raw();
            // A terminal that has gone needs no settings.
            self.raw = tcsetattr(keyboard, OptionalActions::Now, &raw).is_ok();
        }
    }

    /// Makes it what it was. In the background nothing is done: it is another's then, who has set it.
    pub fn leave(&mut self) {
        let Some((keyboard, settings)) = &self.keyboard else {
            return;
        };
        let is_ours = tcgetpgrp(keyboard).is_ok_and(|foreground| foreground == getpgrp());
        if std::mem::take(&mut self.raw) && is_ours {
            let _ = tcsetattr(keyboard.as_fd(), OptionalActions::Now, settings);
        }
    }
}

impl Drop for UserTerminal {
    fn drop(&mut self) {
        self.leave();
    }
}

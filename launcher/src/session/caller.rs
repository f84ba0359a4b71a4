// SPDX-License-Identifier: MIT OR Apache-2.0

//! The client of `cki run` or `cki exec` with options: a user, who sends signals to the launcher and reads sentences.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use cki_frontend::UserTerminal;
use cki_session::{Event, Forwarding, Isolation, Outcome, Signal, forwarded_here};
use nix::sys::signalfd::SignalFd;

use super::client::{Client, Wish};
use super::streams::duplicate;
use crate::service_manager::ServiceManager;
use crate::signals;
use crate::unblocked::{Unblocked, Way};

/// A user at the command line.
#[derive(Debug)]
pub struct Caller {
    signals: SignalFd,
    forwarding: Forwarding,
    print_isolation: bool,
    /// Standard error. A reader of it that has stopped does not keep us from signals and time.
    sentences: Unblocked,
    /// The user's, if the program has one.
    terminal: Option<UserTerminal>,
    /// Who is to hear that the program runs.
    service_manager: Option<ServiceManager>,
}

impl Caller {
    /// Takes over the signals that are meant for the program. To be called before any other thread is
    /// started, which inherits the mask. With `print_isolation`, it is said on standard error once the
    /// container is up. `terminal` is the user's, for a program that has one.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn new(print_isolation: bool, terminal: Option<UserTerminal>) -> io::Result<Self> {
        let mut forwarded = forwarded_here()?;
        // Ctrl-Z stops this process itself: a launcher, and the container with it, or `cki exec` alone, whose process
        // goes on. A raw terminal is to be left first.
        forwarded.retain(|&signal| signal != Signal::TSTP || terminal.is_some());
        Ok(Caller {
            signals: signals::take(forwarded)?,
            forwarding: Forwarding::new(),
            print_isolation,
            sentences: Unblocked::new(&duplicate(&io::stderr())?, Way::Out)?,
            terminal,
            service_manager: None,
        })
    }

    /// Has `service_manager`, if there is one, hear when the program runs.
    pub fn tells(&mut self, service_manager: Option<ServiceManager>) {
        self.service_manager = service_manager;
    }

    /// What a signal means to a program with a terminal of its own; `None` when it is about other things.
    fn of_terminal(&mut self, signal: Signal, started: bool) -> Option<Wish> {
        let terminal = self.terminal.as_mut()?;
        match signal {
            Signal::TSTP => {
                terminal.leave();
                // A container that is ours stops with us.
                let _ = nix::sys::signal::raise(nix::sys::signal::SIGSTOP);
            }
            Signal::CONT | Signal::WINCH => {}
            _ => return None,
        }
        // Until there is a program, Ctrl-C is for us.
        if started {
            terminal.enter();
        }
        Some(Wish::Resize(terminal.size()))
    }
}

impl Client for Caller {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    fn wishes(&mut self, started: bool) -> Vec<Wish> {
        let mut wishes = Vec::new();
        while let Ok(Some(info)) = self.signals.read_signal() {
            let Some(signal) = Signal::new(info.ssi_signo as i32) else {
                continue;
            };
            wishes.push(
                match self.forwarding.ends(signal, Instant::now(), started) {
                    true => Wish::End(Outcome::signaled(signal)),
                    false => self
                        .of_terminal(signal, started)
                        .unwrap_or(Wish::Signal(signal)),
                },
            );
        }
        wishes
    }

    fn up(&mut self, isolation: Isolation) {
        if self.print_isolation {
            self.sentences.say(&format!("isolation: {isolation}"));
        }
    }

    fn tell(&mut self, event: &Event) {
        if let (Event::Started { .. }, Some(service_manager)) = (event, &self.service_manager) {
            service_manager.ready();
        }
        match (event, &mut self.terminal) {
            // From now on all keys are the program's.
            (Event::Started { .. }, Some(terminal)) => terminal.enter(),
            (Event::Refused { message }, terminal) => {
                // A raw terminal goes back to the start of a line only when it is told to.
                let back = if terminal.is_some() { "\r" } else { "" };
                let line = format!("cki: init of the container: {message}{back}");
                self.sentences.say(&line);
            }
            _ => {}
        }
    }
}

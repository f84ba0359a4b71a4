// SPDX-License-Identifier: MIT OR Apache-2.0

//! A session that runs: what is waited for, what the client's requests do, and how the program ends.
//!
//! | file | what |
//! |---|---|
//! | [`serve`] | the whole of it, from `hello` to `ended` |
//! | `start` | starts the program, and sets up what it finds around it |
//! | [`exec`] | more processes in a container, for clients of its host's |
//! | [`vsock`] | the connections of these clients |
//! | [`clock`] | the clock of an emulated machine, which the client sets |
//! | [`place`] | where a session is served, and what is honoured there |
//! | [`failure`] | why a session gets no further |

pub mod clock;
pub mod exec;
pub mod failure;
pub mod place;
pub mod serve;
mod start;
pub mod vsock;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use cki_session::{Event, Heard, Outcome, ProcessId, Request};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::container::launcher::Launcher;
use crate::program::Started;
use crate::program::group::Group;
use crate::program::oom::KernelLog;
use crate::program::process;
use crate::program::running::{Ends, Running};
use crate::session::exec::Execs;
use crate::session::failure::ServeError;
use crate::session::place::Place;

/// Which of the session's own descriptors have something to read.
pub(crate) struct Seen {
    /// The client's messages.
    pub(crate) control: bool,
    /// The signal that a child has ended.
    pub(crate) children: bool,
    /// What the launcher says and the client is to know.
    pub(crate) events: Vec<Event>,
}

/// What is waited for, besides the session's own descriptors.
enum Of {
    /// A stream of the program.
    Main(usize),
    /// Something of the others.
    Execs(exec::Source),
}

/// A session that runs.
pub(crate) struct Session {
    place: Place,
    main: Running,
    log: KernelLog,
    /// What runs the program, unless it is a process of this machine.
    launcher: Option<Launcher>,
    /// Other processes beside it, in a container.
    execs: Option<Execs>,
}

impl Session {
    /// That of a program which was started, with these ends of its streams.
    ///
    /// # Errors
    /// When the streams cannot be used.
    pub(crate) fn new(
        place: Place,
        id: ProcessId,
        started: Started,
        launcher: Option<Launcher>,
        ends: Ends,
        mut log: KernelLog,
        execs: Option<Execs>,
    ) -> Result<Self, ServeError> {
        // What the log has said until now is about nobody in this session.
        log.skip();
        let what = ServeError::system("cannot use the program's streams");
        Ok(Self {
            place,
            main: Running::new(id, started, ends).map_err(what)?,
            log,
            launcher,
            execs,
        })
    }

    /// Carries a request out, or says why not.
    pub(crate) fn obey(&mut self, request: Heard<Request>) -> Result<Option<Event>, ServeError> {
        let refused = match (request, &mut self.launcher) {
            (Ok(request @ (Request::Signal { .. } | Request::Resize { .. })), Some(launcher)) => {
                launcher.ask(&request);
                return Ok(None);
            }
            (Ok(Request::Signal { id, signal }), None) if id == self.main.id() => {
                self.main
                    .signal(signal)
                    .map_err(ServeError::system("cannot send the signal"))?;
                return Ok(None);
            }
            (Ok(Request::Resize { id, terminal }), None) if id == self.main.id() => {
                match self.main.resize(terminal) {
                    Some(Ok(())) => return Ok(None),
                    Some(Err(error)) => format!("cannot resize the terminal: {error}"),
                    None => format!("process {id} has no terminal"),
                }
            }
            (Ok(Request::Signal { id, .. } | Request::Resize { id, .. }), None) => {
                format!("there is no process {id}")
            }
            (Ok(Request::Exec(_)), _) => "`exec` is for connections of its own".to_owned(),
            (Ok(Request::Run(_)), _) => "`run` twice".to_owned(),
            (Ok(Request::Clock { .. }), _) => "`clock` after `run`".to_owned(),
            (Ok(Request::Serve(_) | Request::Stop { .. }), _) => {
                "a session takes neither `serve` nor `stop`".to_owned()
            }
            (Err(why), _) => why,
        };
        Ok(Some(Event::Refused { message: refused }))
    }

    /// Waits for something to do, and does what concerns the streams.
    pub(crate) fn wait(
        &mut self,
        control: BorrowedFd<'_>,
        children: BorrowedFd<'_>,
    ) -> Result<Seen, ServeError> {
        // Whoever asks for more than the launcher takes waits.
        let takes_more = self.launcher.as_ref().is_none_or(Launcher::takes_more);
        let mut asks = PollFlags::empty();
        asks.set(PollFlags::POLLIN, takes_more);
        let mut fds = vec![
            PollFd::new(control, asks),
            PollFd::new(children, PollFlags::POLLIN),
        ];
        let launcher = self.launcher.as_ref().and_then(Launcher::interest);
        let own = fds.len() + usize::from(launcher.is_some());
        fds.extend(launcher.map(|(channel, flags)| PollFd::new(channel, flags)));
        let mut polled = Vec::new();
        for (stream, fd, flags) in self.main.interests() {
            fds.push(PollFd::new(fd, flags));
            polled.push(Of::Main(stream));
        }
        for (source, fd, flags) in self.execs.iter().flat_map(Execs::interests) {
            fds.push(PollFd::new(fd, flags));
            polled.push(Of::Execs(source));
        }
        let looks = [
            self.main.next_look(),
            self.execs.as_ref().and_then(Execs::next_look),
        ];
        let look = looks.into_iter().flatten().min();
        // Rounded up, so that the time is over when poll returns.
        let time = look.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, time) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(ServeError::system("cannot poll")(error.into())),
        }
        let seen: Vec<PollFlags> = fds
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()))
            .collect();
        for (what, &flags) in polled.into_iter().zip(&seen[own..]) {
            match (what, &mut self.execs) {
                _ if flags.is_empty() => {}
                (Of::Main(stream), _) => self.main.advance(stream, flags),
                (Of::Execs(source), Some(execs)) => execs.advance(source, flags),
                (Of::Execs(_), None) => {}
            }
        }
        let said = own > 2 && !seen[2].is_empty();
        Ok(Seen {
            control: !seen[0].is_empty(),
            children: !seen[1].is_empty(),
            events: match &mut self.launcher {
                Some(launcher) if said => launcher.listen(),
                _ => Vec::new(),
            },
        })
    }

    /// Whether the program has ended, and all that it wrote was taken.
    pub(crate) fn is_over(&self) -> bool {
        self.main.is_over()
    }

    /// Tells the clients of other processes how those have ended.
    pub(crate) fn settle(&mut self) {
        if let Some(execs) = &mut self.execs {
            execs.settle(&mut self.log);
        }
    }

    /// Takes note of the children that have ended.
    pub(crate) fn reap(&mut self) {
        while let Some((pid, status)) = process::reap() {
            if let Some(execs) = &mut self.execs {
                execs.end(pid, status);
            }
            if pid == self.main.pid() && self.main.ended().is_none() {
                self.main.end(status);
                if let Some(execs) = &mut self.execs {
                    execs.close();
                }
                // What the program left behind would keep its output open for ever.
                match self.place {
                    Place::Container | Place::Machine => process::kill_everything(),
                    Place::Shared(place) => {
                        Group::of_place(place).kill_others();
                    }
                }
            }
        }
    }

    /// Has the program get SIGTERM.
    pub(crate) fn terminate(&mut self) -> Result<(), ServeError> {
        let (id, signal) = (self.main.id(), cki_session::Signal::TERM);
        self.obey(Ok(Request::Signal { id, signal })).map(drop)
    }

    /// How the program ended, and how much it has written.
    pub(crate) fn outcome(mut self) -> (Outcome, Event) {
        let status = self.main.ended().unwrap_or_default();
        let (id, (mut stdout, stderr)) = (self.main.id(), self.main.written());
        let outcome = match self.launcher {
            Some(launcher) => {
                // Whoever ends a container at once kills it (`cki kill`).
                let is_the_end = matches!(self.place, Place::Shared(_));
                let (outcome, direct) = launcher.outcome(status, is_the_end);
                stdout += direct;
                outcome.unwrap_or_else(|| self.main.outcome(&mut self.log))
            }
            None => self.main.outcome(&mut self.log),
        };
        if let Some(execs) = &mut self.execs {
            execs.finish(&mut self.log);
        }
        let output = Event::Output { id, stdout, stderr };
        (outcome, output)
    }
}

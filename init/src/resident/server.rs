// SPDX-License-Identifier: MIT OR Apache-2.0

//! The processes that serve a place of a machine that stays up, one after another.
//!
//! The next one is started when nothing of the last one is left: all processes of the place's control group are gone,
//! and so is the client, which has closed its ends of all four ports. Until then PID 1 looks again and again, and
//! serves the other places meanwhile. So whoever connects to the ports once a process is ready meets that process.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use cki_session::Event;

use crate::program::group::Group;
use crate::program::inheritance::with_fresh_signals;
use crate::program::process;
use crate::resident::client::{Farewell, PlacePorts};
use crate::system::machine;

/// The word that makes init serve a place instead of a machine.
pub const PLACE: &str = "place";
/// A process of a place that could not serve is followed by another after this time.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks at a place whose process has ended just now.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// When that has taken so long, somebody is told, and there are [`PAUSE`]s between two looks.
const PATIENCE: Duration = Duration::from_secs(5);

/// A place, and what serves it.
#[derive(Debug)]
pub struct Server {
    place: u32,
    group: Group,
    /// How many processes it has had.
    generation: u64,
    state: State,
    ports: PlacePorts,
}

#[derive(Debug)]
enum State {
    /// By this process.
    Serving(i32),
    /// By none.
    Ending(Ending),
}

#[derive(Debug)]
struct Ending {
    since: Instant,
    /// Until then no other process is started.
    rest: Duration,
    /// What the client is told.
    farewell: Farewell,
    /// The console has why it takes so long.
    is_reported: bool,
}

impl Ending {
    fn new(rest: Duration) -> Self {
        Self {
            since: Instant::now(),
            rest,
            farewell: Farewell::default(),
            is_reported: false,
        }
    }

    /// Says once why there is no process yet.
    fn report(&mut self, message: &str) {
        if !std::mem::replace(&mut self.is_reported, true) {
            machine::report(message);
        }
    }

    /// As [`Ending::report`], of what is usually over in no time.
    fn report_if_late(&mut self, message: &str) {
        if self.since.elapsed() > PATIENCE {
            self.report(message);
        }
    }
}

impl Server {
    /// A place that no process serves yet.
    ///
    /// # Errors
    /// When it can have no control group.
    pub fn new(place: u32) -> io::Result<Self> {
        let group = Group::of_place(place);
        group.create()?;
        Ok(Self {
            place,
            group,
            generation: 0,
            state: State::Ending(Ending::new(Duration::ZERO)),
            ports: PlacePorts::of_place(place),
        })
    }

    /// The process that serves it.
    #[must_use]
    pub fn process(&self) -> Option<i32> {
        match self.state {
            State::Serving(pid) => Some(pid),
            State::Ending(_) => None,
        }
    }

    /// Its process has ended.
    pub fn ended(&mut self, status: ExitStatus) {
        let is_usual = status.code() == Some(0) || status.signal() == Some(libc::SIGTERM);
        if !is_usual {
            machine::report(&format!("place {} was served badly: {status}", self.place));
        }
        let rest = if is_usual { Duration::ZERO } else { PAUSE };
        self.state = State::Ending(Ending::new(rest));
    }

    /// When [`Server::advance`] is to be called again; `None` while a process serves the place.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        match &self.state {
            State::Serving(_) => None,
            State::Ending(ending) if ending.since.elapsed() < PATIENCE => Some(LOOK_AGAIN),
            State::Ending(_) => Some(PAUSE),
        }
    }

    /// Ends what the last process has left, and starts another when it is gone; what says that one is there.
    pub fn advance(&mut self) -> Option<Event> {
        let place = self.place;
        let State::Ending(ending) = &mut self.state else {
            return None;
        };
        if ending.since.elapsed() < ending.rest {
            return None;
        }
        if !self.group.is_empty_after_kill() {
            ending.report_if_late(&format!("processes of place {place} do not end"));
            return None;
        }
        // The first one has no predecessor, and so no client.
        if self.generation > 0 {
            match self.ports.is_client_gone(&mut ending.farewell) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    ending.report_if_late(&error.to_string());
                    return None;
                }
            }
        }
        let generation = self.generation + 1;
        match spawn(place, generation) {
            Ok(pid) => {
                self.generation = generation;
                self.state = State::Serving(pid);
                Some(Event::Ready { place, generation })
            }
            Err(error) => {
                ending.report(&format!(
                    "cannot start a process for place {place}: {error}"
                ));
                // It is tried again.
                ending.rest = ending.since.elapsed() + PAUSE;
                None
            }
        }
    }

    /// Kills all of it; see [`Group::kill`].
    pub fn kill(&self) -> bool {
        self.group.kill()
    }
}

/// This program, serving a place. It puts itself into the group.
fn spawn(place: u32, generation: u64) -> io::Result<i32> {
    let mut command = Command::new("/proc/self/exe");
    let words = [PLACE.to_owned(), place.to_string(), generation.to_string()];
    command.args(words).env_clear();
    let child = with_fresh_signals(&mut command).spawn()?;
    Ok(process::id(&child))
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki health`: a command in a container, again and again, until it has failed too often.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cki_launcher::exec::waiting::Waiting;
use cki_launcher::health::{Checks, Health};
use cki_launcher::service_manager::ServiceManager;
use cki_launcher::session::client::{Client, Wish};
use cki_launcher::session::streams::{Streams, duplicate};
use cki_launcher::signals;
use cki_session::{Event, Isolation, Outcome, Process, Run, Signal, Status, complain};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};

use super::containers::signal;
use super::exec::Target;
use crate::cli::HealthArgs;
use crate::sentence::sentence;

/// Where a check reads nothing from, and its output goes.
const NULL: &str = "/dev/null";

/// `cki health`: status 1 when the container is unhealthy, 0 when it has ended.
pub fn health(device: &Path, args: &HealthArgs) -> anyhow::Result<Status> {
    let plan = args.plan();
    let run = Run {
        exec: Some(args.name.clone()),
        process: Process::new(args.argv.clone()),
        ..Run::new(Vec::<String>::new())
    };
    run.check()?;
    let manager = ServiceManager::of_environment()?;
    let mut ending = Ending::new().context("cannot wait for signals")?;
    let say = |text: &str| complain(&format!("cki: container {}: {text}", args.name));
    // Whoever has its name later is another container.
    let target = Target::find(&args.name)?;
    let mut checks = Checks::new(&plan, Instant::now());
    loop {
        let began = Instant::now();
        let checked = check(device, &target, &run, plan.timeout, &mut ending);
        if let Some(by) = ending.by() {
            return Ok(Status::signaled(by));
        }
        let failure = match checked {
            Ok(outcome) => failure(&outcome, plan.timeout),
            Err(error) => Some(sentence(&error)),
        };
        if failure.is_some() && !target.runs()? {
            say("it has ended");
            return Ok(Status::OK);
        }
        match (checks.count(began, failure.is_none()), failure) {
            (Health::Recovered, _) => {
                say("healthy");
                if let Some(manager) = &manager {
                    manager.ready();
                }
            }
            (Health::Healthy, _) | (_, None) => {}
            (Health::Starting, Some(why)) => say(&format!("not healthy yet: {why}")),
            (Health::Failing(count), Some(why)) => {
                say(&format!("check {count} of {} failed: {why}", plan.retries));
            }
            (Health::Unhealthy, Some(why)) => {
                say(&format!(
                    "unhealthy after {} of {} checks: {why}",
                    plan.retries, plan.retries
                ));
                if args.kill {
                    signal(&target.names, &target.state, Signal::KILL)?;
                }
                return Ok(Status::NO);
            }
        }
        if let Some(by) = ending.wait(plan.interval)? {
            return Ok(Status::signaled(by));
        }
    }
}

/// Runs the command once. What it says of errors is said; its output would be the same again and again.
fn check(
    device: &Path,
    target: &Target,
    run: &Run,
    timeout: Duration,
    ending: &mut Ending,
) -> anyhow::Result<Outcome> {
    let mut client = Check::new(ending, timeout).context("cannot watch the time")?;
    let connections = target.connect(run, &mut || client.end().is_none());
    if let Some(outcome) = client.end() {
        return Ok(outcome);
    }
    let streams = Streams {
        stdin: File::open(NULL).context(NULL)?,
        stdout: File::options().write(true).open(NULL).context(NULL)?,
        stderr: duplicate(&io::stderr())?,
    };
    target.drive(
        device,
        connections?,
        run.clone(),
        Waiting::default(),
        streams,
        &mut client,
    )
}

/// Why a check has failed, if it has.
fn failure(outcome: &Outcome, timeout: Duration) -> Option<String> {
    match outcome {
        Outcome::Exited(0) => None,
        Outcome::Exited(status) => Some(format!("status {status}")),
        Outcome::TimedOut => Some(format!(
            "it took longer than {}",
            humantime::format_duration(timeout)
        )),
        other => Some(
            other
                .explanation("container", None)
                .unwrap_or_else(|| format!("status {}", other.status().0)),
        ),
    }
}

/// Signals that end the checks, and the one that has come.
#[derive(Debug)]
struct Ending {
    signals: SignalFd,
    by: Option<Signal>,
}

impl Ending {
    fn new() -> io::Result<Self> {
        Ok(Self {
            signals: signals::take([Signal::HUP, Signal::INT, Signal::TERM])?,
            by: None,
        })
    }

    /// The signal that has come, if one has.
    fn by(&mut self) -> Option<Signal> {
        if let Ok(Some(info)) = self.signals.read_signal() {
            self.by = Signal::new(info.ssi_signo as i32);
        }
        self.by
    }

    /// Waits for one, so long.
    fn wait(&mut self, time: Duration) -> io::Result<Option<Signal>> {
        let until = Instant::now().checked_add(time);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let timeout = left.map_or(PollTimeout::MAX, |left| {
                // Rounded up: a wait of less than a millisecond is not one of none.
                PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
            });
            match poll(
                &mut [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)],
                timeout,
            ) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(by) = self.by() {
                return Ok(Some(by));
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
        }
    }
}

/// A client that wants the end of its check when the time is over, or a signal says so.
#[derive(Debug)]
struct Check<'e> {
    ending: &'e mut Ending,
    /// Ready when the time is over.
    timer: TimerFd,
    deadline: Option<Instant>,
}

impl<'e> Check<'e> {
    fn new(ending: &'e mut Ending, timeout: Duration) -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
        timer.set(
            Expiration::OneShot(timeout.into()),
            TimerSetTimeFlags::empty(),
        )?;
        Ok(Self {
            ending,
            timer,
            deadline: Instant::now().checked_add(timeout),
        })
    }

    /// How the check ends now, if it does before its command has.
    fn end(&mut self) -> Option<Outcome> {
        if let Some(by) = self.ending.by() {
            return Some(Outcome::signaled(by));
        }
        let is_over = self.deadline.is_some_and(|at| at <= Instant::now());
        is_over.then_some(Outcome::TimedOut)
    }
}

impl Client for Check<'_> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    fn signals(&self) -> Option<BorrowedFd<'_>> {
        Some(self.ending.signals.as_fd())
    }

    fn wishes(&mut self, _started: bool) -> Vec<Wish> {
        self.end().map(Wish::End).into_iter().collect()
    }

    fn up(&mut self, _isolation: Isolation) {}

    fn tell(&mut self, event: &Event) {
        if let Event::Refused { message } = event {
            complain(&format!("cki: init of the container: {message}"));
        }
    }
}

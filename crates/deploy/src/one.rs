// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is done on one host.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use cki_wording::units::human_bytes;

use super::args::Action;
use super::back::{self, Stage};
use super::contents::{self, Contents, Difference};
use super::error::Trouble;
use super::name::short;
use super::outcome::{Did, HostOutcome};
use super::probes::{Before, Probes, of_state};
use super::ssh::{Patience, Ssh};
use super::state::State;
use super::system::System;
use super::talk::{QUESTION, Talk, only_if};

/// What writing a system may take, beside the time for its bytes: the host has to bring them to its disk.
const WRITING: Duration = Duration::from_secs(300);

/// How many bytes a second are slow, but no reason to give up.
const SLOWEST: u64 = 64 << 10;

/// What is left of a trial when nothing more is tried.
const MARGIN: Duration = Duration::from_secs(10);

/// Where news go.
struct Say<'a>(&'a (dyn Fn(&str) + Sync));

impl Say<'_> {
    fn line(&self, text: &str) {
        (self.0)(text);
    }
}

impl std::fmt::Debug for Say<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Say")
    }
}

/// How it is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a trial is.
    pub limit: Duration,
    /// Time between two rounds of probes.
    pub period: Duration,
    /// Time before the first.
    pub grace: Duration,
    /// Time between two questions whether it is up.
    pub pause: Duration,
    /// How long a host may take nothing of what is written to it.
    pub still: Duration,
    /// What has to be green.
    pub probes: Probes,
    /// Take what has failed before, and what nobody can say of what isolation there was before.
    pub force: bool,
}

/// One host, on which one thing is done.
#[derive(Debug)]
pub struct One<'a> {
    talk: Talk<'a>,
    options: &'a Options,
    say: Say<'a>,
    stage: Cell<Stage>,
    changes: RefCell<Option<Difference>>,
}

impl<'a> One<'a> {
    /// A host of which nothing is known yet. News go to `say`; `stop` says whether somebody asked for the end.
    pub fn new(
        ssh: Ssh,
        options: &'a Options,
        say: &'a (dyn Fn(&str) + Sync),
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self {
            talk: Talk {
                ssh,
                pause: options.pause,
                limit: options.limit,
                stop,
                first: RefCell::new(None),
                last: RefCell::new(None),
            },
            options,
            say: Say(say),
            stage: Cell::new(Stage::Asking),
            changes: RefCell::default(),
        }
    }

    /// Does it, and says what became of the host, whatever went wrong.
    pub fn act(&self, action: Action, system: Option<&System>) -> HostOutcome {
        let done = match (action, system) {
            (Action::Status, _) => self.talk.look().map(|_| Did::Asked),
            (Action::Confirm, _) => self.keep(),
            (Action::Rollback, _) => self.roll_back(),
            (Action::DryActivate, Some(system)) => self.plan(system),
            (Action::Diff, Some(system)) => self.compare(system),
            (_, Some(system)) => self.install(action, system),
            (_, None) => Err(Trouble::Odd("which system it is to have")),
        };
        let (did, text) = match done {
            Ok(did) => (did, None),
            Err(trouble) => {
                let did = match trouble {
                    Trouble::Interrupted => Did::Interrupted,
                    _ => Did::Failed,
                };
                let now = back::settle(&self.talk, self.stage.get(), &trouble);
                (did, Some(format!("{trouble}{now}")))
            }
        };
        let state = self.talk.last.take();
        let runs = state.as_ref().map(State::text).unwrap_or_default();
        HostOutcome {
            host: self.talk.ssh.host.to_string(),
            good: text.is_none(),
            did,
            text: text.unwrap_or(runs),
            state,
            changes: self.changes.take(),
        }
    }

    /// What `switch` would do.
    fn plan(&self, system: &System) -> Result<Did, Trouble> {
        let before = self.talk.look()?;
        if before.trial.is_some() && before.system != system.name {
            return Err(Trouble::OnTrial(before.system));
        }
        if before.trial.is_some() {
            self.say
                .line("would keep what is on trial, if all probes are green");
            return Ok(Did::Asked);
        }
        if self.runs(&before, system)? {
            self.say.line("would change nothing: it runs that system");
            return Ok(Did::Asked);
        }
        known_again(&before)?;
        self.may_take(&before, system)?;
        if !self.has(&before, system)? {
            self.say.line(&format!(
                "would write {} to slot {}",
                human_bytes(system.size()),
                before.other_slot()
            ));
        }
        self.say.line(&format!(
            "would restart into {}, on trial for {} s, in place of {}",
            short(&system.name),
            self.options.limit.as_secs(),
            short(&before.system)
        ));
        Ok(Did::Asked)
    }

    /// What would be different with the system.
    fn compare(&self, system: &System) -> Result<Did, Trouble> {
        let to = system.contents()?;
        let before = self.talk.look()?;
        let said = self
            .talk
            .patient("asking", contents::ASK, &[], &|_| (), QUESTION)?;
        let from = Contents::read(&said).ok_or(Trouble::NoContents)?;
        let names = [before.system.as_str(), &system.name];
        let same_start = self.starts_with("running", system)?;
        self.changes
            .replace(Some(from.difference(&to, names, same_start)));
        Ok(Did::Asked)
    }

    /// `switch`, `test` and `boot`.
    fn install(&self, action: Action, system: &System) -> Result<Did, Trouble> {
        let before = self.talk.look()?;
        if before.trial.is_some() {
            return match action {
                _ if before.system != system.name => Err(Trouble::OnTrial(before.system)),
                Action::Boot => Err(Trouble::OnTrial(before.system)),
                Action::Test => Ok(Did::OnTrial),
                _ => self.keep(),
            };
        }
        if self.runs(&before, system)? {
            if !before.armed {
                return Ok(Did::Nothing);
            }
            return self.talk.disarm().map(|()| Did::Disarmed);
        }
        if action != Action::Boot {
            known_again(&before)?;
        }
        self.may_take(&before, system)?;
        if !self.has(&before, system)? {
            self.write(&before, system)?;
        }
        if action == Action::Boot {
            self.arm(&system.name, "running")?;
            self.talk.look()?;
            return Ok(Did::Armed);
        }
        self.try_out(&before, &system.name)?;
        if action == Action::Test {
            return Ok(Did::OnTrial);
        }
        self.confirm()?;
        Ok(Did::Switched)
    }

    /// Keeps what is on trial, if it is well.
    fn keep(&self) -> Result<Did, Trouble> {
        let before = self.talk.look()?;
        let left = self.left(&before).ok_or(Trouble::NothingOnTrial)?;
        let isolation = Before::of_trial(&before, self.options.force);
        self.green(
            &before,
            isolation,
            Instant::now() + left.saturating_sub(MARGIN),
        )?;
        self.confirm()?;
        Ok(Did::Switched)
    }

    fn roll_back(&self) -> Result<Did, Trouble> {
        let before = self.talk.look()?;
        if before.trial.is_some() {
            self.say.line("going back");
            self.talk.go_back(&before)?;
            return Ok(Did::Ended);
        }
        if before.armed {
            return self.talk.disarm().map(|()| Did::Disarmed);
        }
        let other = before.other.clone().ok_or(Trouble::NothingBehind)?;
        if before.failed.as_ref() == Some(&other) && !self.options.force {
            return Err(Trouble::FailedBefore(other));
        }
        known_again(&before)?;
        self.try_out(&before, &other)?;
        self.confirm()?;
        Ok(Did::Switched)
    }

    /// Whether it runs this system, kernel and initial file system included.
    fn runs(&self, before: &State, system: &System) -> Result<bool, Trouble> {
        Ok(before.system == system.name && self.starts_with("running", system)?)
    }

    /// Whether its other slot has all of this system.
    fn has(&self, before: &State, system: &System) -> Result<bool, Trouble> {
        Ok(before.other.as_ref() == Some(&system.name) && self.starts_with("other", system)?)
    }

    fn starts_with(&self, which: &str, system: &System) -> Result<bool, Trouble> {
        let line = format!("{which}={}", system.start);
        match self.talk.slot("looking at its slots", "digests") {
            Ok(said) => Ok(said.lines().any(|found| found == line)),
            // A system that cannot say it is written anew, and that is all.
            Err(Trouble::Refused { .. }) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    fn may_take(&self, before: &State, system: &System) -> Result<(), Trouble> {
        if before.failed.as_ref() == Some(&system.name) && !self.options.force {
            return Err(Trouble::FailedBefore(system.name.clone()));
        }
        let size = system.sizes[2];
        if size > before.room {
            return Err(Trouble::NoRoom {
                size,
                room: before.room,
            });
        }
        Ok(())
    }

    fn write(&self, before: &State, system: &System) -> Result<(), Trouble> {
        self.stage.set(Stage::Writing);
        let all = system.size();
        self.say.line(&format!(
            "writing {} of {} to slot {}",
            human_bytes(all),
            short(&system.name),
            before.other_slot()
        ));
        let [kernel, initrd, root] = system.sizes;
        let script = format!(
            "/usr/lib/cki/slot write {} {kernel} {initrd} {root}",
            system.name
        );
        let quarters = Cell::new(0);
        let written = |sum: u64| {
            let now = sum * 4 / all;
            if now > quarters.get() && now < 4 {
                quarters.set(now);
                self.say.line(&format!(
                    "wrote {} of {}",
                    human_bytes(sum),
                    human_bytes(all)
                ));
            }
        };
        let patience = Patience {
            whole: WRITING + Duration::from_secs(all / SLOWEST),
            still: self.options.still,
        };
        self.talk.patient(
            "writing the system",
            &script,
            &system.files,
            &written,
            patience,
        )?;
        let after = self.talk.look()?;
        if after.other.as_ref() != Some(&system.name) {
            return Err(Trouble::Odd("that it has the system now"));
        }
        Ok(())
    }

    /// What is left of a trial, as far as it is waited for: a host says what it likes.
    fn left(&self, of: &State) -> Option<Duration> {
        Some(of.left()?.min(self.options.limit))
    }

    /// Has the next start be the other slot's, on trial, if that has the system of this name; somebody else may have
    /// written another one. `then` is what it does when it has come up.
    fn arm(&self, name: &str, then: &str) -> Result<(), Trouble> {
        self.stage.set(Stage::Arming);
        let words = format!("try {} '{then}' {name}", self.options.limit.as_secs());
        self.talk.slot("preparing the next start", &words)?;
        Ok(())
    }

    /// Starts the other slot on trial, and comes back when all is well there.
    fn try_out(&self, before: &State, name: &str) -> Result<(), Trouble> {
        self.arm(name, "")?;
        self.stage.set(Stage::Trying);
        self.say
            .line(&format!("restarting into {}, on trial", short(name)));
        self.talk.restart(before)?;
        let now = self.talk.wait_for_start(&before.boot)?;
        if now.slot == before.slot {
            return Err(Trouble::CameBack);
        }
        if now.system != name {
            return Err(Trouble::Another(now.system));
        }
        let left = self.left(&now).ok_or(Trouble::Odd("that it is on trial"))?;
        self.say.line(&format!(
            "up again after {} s; asking whether all is well",
            now.uptime
        ));
        self.green(
            &now,
            Before::Said(before.isolation.as_deref()),
            Instant::now() + left.saturating_sub(MARGIN),
        )
    }

    /// Waits until all probes are green in one round.
    fn green(&self, of: &State, isolation: Before<'_>, until: Instant) -> Result<(), Trouble> {
        self.talk.sleep(self.options.grace)?;
        let mut said = String::new();
        loop {
            let why = match self.round(of, isolation, until) {
                Ok(None) => return Ok(()),
                Ok(Some(why)) => why,
                // What was not well before says more.
                Err(Trouble::Late) if !said.is_empty() => said.clone(),
                Err(
                    trouble @ (Trouble::Lost(_)
                    | Trouble::Unreachable(_)
                    | Trouble::Late
                    | Trouble::TooMuch
                    | Trouble::Busy),
                ) => trouble.to_string(),
                Err(trouble) => return Err(trouble),
            };
            if said != why {
                self.say.line(&format!("not yet: {why}"));
                said.clone_from(&why);
            }
            if Instant::now() + self.options.period >= until {
                return Err(Trouble::NotGreen(why));
            }
            self.talk.sleep(self.options.period)?;
        }
    }

    /// Asks each probe once, and gives the reason of the first that is not green.
    fn round(
        &self,
        of: &State,
        isolation: Before<'_>,
        until: Instant,
    ) -> Result<Option<String>, Trouble> {
        let now = self.talk.look()?;
        if now.boot != of.boot {
            return Err(Trouble::CameBack);
        }
        if let Err(why) = of_state(&now, isolation) {
            return Ok(Some(why));
        }
        for command in &self.options.probes.commands {
            let left = until.saturating_duration_since(Instant::now());
            match self
                .talk
                .does("the probe", command, &[], &|_| (), Patience::of(left))
            {
                Ok(_) => {}
                Err(Trouble::Refused { why, .. }) => {
                    return Ok(Some(format!("`{command}`: {why}")));
                }
                Err(trouble) => return Err(trouble),
            }
        }
        for url in &self.options.probes.urls {
            let left = until.saturating_duration_since(Instant::now());
            let answer = url.ask(left, &|| (self.talk.stop)());
            if (self.talk.stop)() {
                return Err(Trouble::Interrupted);
            }
            if let Err(why) = answer {
                return Ok(Some(format!("{url}: {why}")));
            }
        }
        Ok(None)
    }

    /// Makes what runs the default, over a new connection.
    fn confirm(&self) -> Result<(), Trouble> {
        let of = self
            .talk
            .last
            .borrow()
            .clone()
            .ok_or(Trouble::Odd("what it runs"))?;
        self.stage.set(Stage::Confirming);
        let until = Instant::now() + self.left(&of).unwrap_or_default();
        loop {
            let script = format!("{}/usr/lib/cki/slot confirm", only_if(&of));
            let confirmed = self
                .talk
                .does("confirming", &script, &[], &|_| (), QUESTION);
            if matches!(confirmed, Err(Trouble::Interrupted)) {
                return confirmed.map(drop);
            }
            // An answer that was lost says nothing of whether it is done.
            match self.talk.look() {
                Ok(now) if now.boot != of.boot => return Err(Trouble::CameBack),
                Ok(now) if now.default == of.slot => return Ok(()),
                Ok(_)
                | Err(Trouble::Lost(_) | Trouble::Unreachable(_) | Trouble::Late | Trouble::Busy) =>
                    {}
                Err(trouble) => return Err(trouble),
            }
            if Instant::now() >= until {
                return confirmed.and(Err(Trouble::Late));
            }
            self.talk.sleep(self.options.pause)?;
        }
    }
}

/// Whether ssh knows it again after a restart: a trial that cannot be asked is a restart for nothing.
fn known_again(before: &State) -> Result<(), Trouble> {
    if before.keeps_var {
        Ok(())
    } else {
        Err(Trouble::KeyGoes)
    }
}

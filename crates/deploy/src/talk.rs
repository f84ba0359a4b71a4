// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a host is asked and told, from the first word to the last.

use std::cell::RefCell;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::error::Trouble;
use super::name::last_line;
use super::ssh::{Patience, Ssh};
use super::state::{ASK, State};

/// What a short question may take.
pub const QUESTION: Patience = Patience::of(Duration::from_secs(60));
/// How often a host is asked that is busy with its slots.
const BUSY_TRIES: u32 = 5;

/// A host, and what it said.
pub struct Talk<'a> {
    /// How it is asked.
    pub ssh: Ssh,
    /// Time between two questions whether it is up.
    pub pause: Duration,
    /// What a start of it may take.
    pub limit: Duration,
    /// Whether somebody asked for the end.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// What it said of itself first.
    pub first: RefCell<Option<State>>,
    /// And last.
    pub last: RefCell<Option<State>>,
}

impl std::fmt::Debug for Talk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Talk")
            .field("ssh", &self.ssh)
            .finish_non_exhaustive()
    }
}

impl Talk<'_> {
    /// Asks what it is.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn look(&self) -> Result<State, Trouble> {
        let answer = self.patient("asking", ASK, &[], &|_| (), QUESTION)?;
        let state = State::read(&answer)?;
        self.last.replace(Some(state.clone()));
        self.first.borrow_mut().get_or_insert_with(|| state.clone());
        Ok(state)
    }

    /// Has it do something with its slots.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn slot(&self, what: &'static str, words: &str) -> Result<String, Trouble> {
        let script = format!("/usr/lib/cki/slot {words}");
        self.patient(what, &script, &[], &|_| (), QUESTION)
    }

    /// The same with its slots, which may be changed for somebody else a moment longer, such as one who was cut off.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn patient(
        &self,
        what: &'static str,
        script: &str,
        files: &[PathBuf],
        written: &dyn Fn(u64),
        patience: Patience,
    ) -> Result<String, Trouble> {
        let mut tries = 1;
        loop {
            match self.does(what, script, files, written, patience) {
                Err(Trouble::Busy) if tries < BUSY_TRIES => tries += 1,
                other => return other,
            }
            self.sleep(self.pause)?;
        }
    }

    /// Has it do a script, which has to work.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn does(
        &self,
        what: &'static str,
        script: &str,
        files: &[PathBuf],
        written: &dyn Fn(u64),
        patience: Patience,
    ) -> Result<String, Trouble> {
        let output = self
            .ssh
            .run(script, files, written, patience, &|| (self.stop)())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let why = last_line(&said).map_or_else(
            || cki_process::exec::describe(output.status),
            |line| line.trim_start_matches("slot: ").to_owned(),
        );
        Err(if said.contains("something else changes the slots") {
            Trouble::Busy
        } else if said.contains("No space left on device") {
            Trouble::Full(why)
        } else if said.contains("not started from a disk with slots") {
            Trouble::NoSlots(why)
        } else {
            Trouble::Refused { what, why }
        })
    }

    /// Waits, unless somebody asks for the end.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn sleep(&self, duration: Duration) -> Result<(), Trouble> {
        let end = Instant::now() + duration;
        loop {
            if (self.stop)() {
                return Err(Trouble::Interrupted);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Restarts it, if this is still the same start. It answers before it goes down.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn restart(&self, of: &State) -> Result<(), Trouble> {
        let script = format!(
            "{}(sleep 1; systemctl reboot) > /dev/null 2>&1 < /dev/null &",
            only_if(of)
        );
        self.does("restarting", &script, &[], &|_| (), QUESTION)?;
        Ok(())
    }

    /// Waits until it is up after another start than `old`.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn wait_for_start(&self, old: &str) -> Result<State, Trouble> {
        let start = Instant::now();
        loop {
            self.sleep(self.pause)?;
            let why = match self.look() {
                Ok(state) if state.boot != old => return Ok(state),
                Ok(_) => "it has not gone down".to_owned(),
                Err(
                    trouble @ (Trouble::Interrupted
                    | Trouble::HostKeyChanged
                    | Trouble::HostKeyUnknown
                    | Trouble::Exec(_)),
                ) => return Err(trouble),
                Err(trouble) => trouble.to_string(),
            };
            let after = start.elapsed();
            if after > self.limit {
                return Err(Trouble::Gone { after, why });
            }
        }
    }

    /// Ends the trial that runs, and waits for the old system.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn go_back(&self, of: &State) -> Result<(), Trouble> {
        self.restart(of)?;
        let now = self.wait_for_start(&of.boot)?;
        if now.slot == of.slot {
            return Err(Trouble::Another(now.system));
        }
        Ok(())
    }

    /// Takes back a start on trial that is to come.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn disarm(&self) -> Result<(), Trouble> {
        self.slot("taking back the next start", "cancel")?;
        self.look()?;
        Ok(())
    }
}

/// The beginning of a script that is for this start of the host alone.
#[must_use]
pub fn only_if(state: &State) -> String {
    format!(
        "[ \"$(cat /proc/sys/kernel/random/boot_id)\" = {} ] || {{ echo it was restarted >&2; exit 9; }}\n",
        state.boot
    )
}

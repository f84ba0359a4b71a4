// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ctrl-C while something is half done that must not stay: the child is told, waited for and cleaned up after,
//! and only then do we end, by the signal. A second one ends us at once.

use std::io::{self, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use cki_session::{Signal, heard_here};
use rustix::process::{Pid, kill_process};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::progress;

/// What a signal to us does now.
#[derive(Debug)]
enum State {
    /// What it does by default: it ends us.
    Default,
    /// It is remembered, and told to these children.
    Deferred {
        children: Vec<Pid>,
        signal: Option<i32>,
    },
    /// Somebody else looks after signals.
    Elsewhere,
}

static STATE: Mutex<State> = Mutex::new(State::Default);

fn state() -> std::sync::MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For as long as this is there, a signal that asks us to end waits for [`Deferred::finish`].
#[derive(Debug)]
#[must_use]
pub struct Deferred(());

impl Deferred {
    /// From now on. One at a time: the second would take the children of the first.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn start() -> io::Result<Self> {
        install()?;
        let mut state = state();
        if matches!(*state, State::Default) {
            *state = State::Deferred {
                children: Vec::new(),
                signal: None,
            };
        }
        Ok(Deferred(()))
    }

    /// The processes that are told (SIGINT) when a signal comes, and now if one has come.
    pub fn watch(&self, children: impl IntoIterator<Item = u32>) {
        let pids = children
            .into_iter()
            .filter_map(|pid| i32::try_from(pid).ok().and_then(Pid::from_raw));
        if let State::Deferred { children, signal } = &mut *state() {
            *children = pids.collect();
            if signal.is_some() {
                tell(children);
            }
        }
    }

    /// Whether a signal has come.
    #[must_use]
    pub fn came(&self) -> bool {
        matches!(
            &*state(),
            State::Deferred {
                signal: Some(_),
                ..
            }
        )
    }

    /// All is tidy: ends us if a signal has come, and returns if none has.
    pub fn finish(self) {
        let mut state = state();
        if let State::Deferred { signal, .. } = &*state {
            let signal = *signal;
            *state = State::Default;
            if let Some(signal) = signal {
                end_by(signal);
            }
        }
    }
}

/// From now on somebody else looks after signals.
pub fn hand_over() {
    *state() = State::Elsewhere;
}

fn tell(children: &[Pid]) {
    for child in children {
        // One that has ended needs nothing.
        let _ = kill_process(*child, rustix::process::Signal::INT);
    }
}

fn end_by(signal: i32) {
    if progress::clear() {
        // Nobody can be told where nobody reads.
        let _ = writeln!(
            io::stderr(),
            "cki-build: interrupted; what is downloaded and built stays, and the same command goes on from there"
        );
    }
    // It does not return but for a signal that cannot end us, and ours can.
    let _ = emulate_default_handler(signal);
}

/// Installs the handlers, once; signals that are ignored stay so.
fn install() -> io::Result<()> {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    if INSTALLED.get().is_some() {
        return Ok(());
    }
    let heard = heard_here(&[Signal::INT, Signal::TERM, Signal::HUP])?;
    let mut signals = Signals::new(heard.into_iter().map(Signal::number))?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                react(signal);
            }
        })?;
    let _ = INSTALLED.set(());
    Ok(())
}

fn react(came: i32) {
    match &mut *state() {
        State::Default => end_by(came),
        State::Deferred { children, signal } => {
            if signal.replace(came).is_some() {
                end_by(came);
            }
            tell(children);
        }
        State::Elsewhere => {}
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ctrl-C while something is half done that must not stay: the child is told, waited for and cleaned up after,
//! and only then do we end, by the signal. A second one ends us at once.

use std::io::{self, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
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
        let _ = kill_process(*child, Signal::INT);
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
    let status = std::fs::read_to_string("/proc/self/status")?;
    let ignored = ignored(&status).unwrap_or(0);
    let heard = [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = Signals::new(heard)?;
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

/// The mask of ignored signals (proc(5), SigIgn): bit N-1 is signal N. `abi/session` reads it likewise; neither of the
/// two crates uses the other.
fn ignored(status: &str) -> Option<u64> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000000003\n"), Some(3));
        assert_eq!(ignored("Name:\tx\n"), None);
    }
}

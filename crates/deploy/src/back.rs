// SPDX-License-Identifier: MIT OR Apache-2.0

//! The way back: what is done, and said, when something did not work on a host, or somebody asked for the end.

use std::cell::RefCell;

use super::error::Trouble;
use super::name::short;
use super::state::State;
use super::talk::Talk;

/// How far it has come, for what has to be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing has been changed.
    Asking,
    /// The slot that does not run is being filled.
    Writing,
    /// The next start may be a trial.
    Arming,
    /// The host may run on trial, on our account.
    Trying,
    /// The trial may be over, and its system the default.
    Confirming,
}

/// Takes back what is half done, and says what the host is now, to stand behind the reason.
#[must_use]
pub fn settle(talk: &Talk<'_>, stage: Stage, trouble: &Trouble) -> String {
    let Some(before) = talk.first.borrow().clone() else {
        return "; nothing was changed on it".to_owned();
    };
    // A second signal ends us, and the first is no reason to leave the host as it is.
    let go_on = || false;
    let again = Talk {
        ssh: talk.ssh.clone(),
        stop: &go_on,
        first: RefCell::new(Some(before.clone())),
        last: RefCell::new(None),
        ..*talk
    };
    let text = take_back(&again, stage, &before, trouble);
    if let Some(state) = again.last.take() {
        talk.last.replace(Some(state));
    }
    text
}

fn take_back(talk: &Talk<'_>, stage: Stage, before: &State, trouble: &Trouble) -> String {
    let stopped = matches!(trouble, Trouble::Interrupted);
    let ours = before.trial.is_none();
    let by_itself = || by_itself(talk.limit.as_secs(), stage, before);
    if matches!(trouble, Trouble::HostKeyChanged) {
        return by_itself();
    }
    let Ok(now) = talk.look() else {
        return by_itself();
    };
    let same = now.boot == before.boot;
    if same && ours && now.armed && stage >= Stage::Arming {
        if talk.disarm().is_err() {
            return by_itself();
        }
    } else if now.trial.is_some()
        && if ours {
            !same
        } else {
            !stopped && stage > Stage::Asking
        }
    {
        let back = if stopped {
            talk.restart(&now)
        } else {
            talk.go_back(&now)
        };
        if back.is_err() {
            return by_itself();
        }
        if stopped {
            return format!(". It goes back to {} now", short(&before.system));
        }
    }
    let last = talk.last.borrow();
    last.as_ref()
        .map_or_else(by_itself, |state| format!(". It {}", state.text()))
}

/// What becomes of a host that cannot be asked any more.
fn by_itself(trial: u64, stage: Stage, before: &State) -> String {
    let old = short(&before.system);
    match stage {
        _ if before.trial.is_some() => {
            ". What is on trial goes back by itself unless it is confirmed".to_owned()
        }
        Stage::Asking | Stage::Writing => {
            format!(". It runs {old} as before, which starts by default")
        }
        Stage::Arming => {
            format!(
                ". It runs {old}; its next start may be a trial, which ends by itself after {trial} s"
            )
        }
        Stage::Trying => {
            format!(". It goes back to {old} by itself at the latest {trial} s after its start")
        }
        Stage::Confirming => format!(
            ". Whether it has been confirmed is not known: it keeps the new system, or goes back to {old} by itself \
             {trial} s after its start; `deploy status` says which"
        ),
    }
}

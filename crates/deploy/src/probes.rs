// SPDX-License-Identifier: MIT OR Apache-2.0

//! When a host is well.

use super::http::Url;
use super::state::{NOTHING, State};

/// What has to be green.
#[derive(Debug, Clone, Default)]
pub struct Probes {
    /// Commands of the host's shell.
    pub commands: Vec<String>,
    /// Addresses that this machine asks.
    pub urls: Vec<Url>,
}

/// What the isolation of a system has to be as good as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before<'a> {
    /// What `cki info` said; nothing if the host ran no containers.
    Said(Option<&'a str>),
    /// Nobody knows, so only the full one will do.
    Unknown,
}

impl<'a> Before<'a> {
    /// What a system on trial says that there was before. `force` takes one that nobody has kept.
    #[must_use]
    pub fn of_trial(state: &'a State, force: bool) -> Self {
        match state.before.as_deref() {
            Some(NOTHING) => Self::Said(None),
            Some(before) => Self::Said(Some(before)),
            None if force => Self::Said(None),
            None => Self::Unknown,
        }
    }
}

/// Why the host's own probes are not green: its units, and the isolation that it had before, which may get
/// better.
///
/// # Errors
/// The reason.
pub fn of_state(state: &State, before: Before<'_>) -> Result<(), String> {
    if state.units != "running" {
        return Err(format!("its units are {}", state.units));
    }
    let now = state.isolation.as_deref();
    if now.is_some_and(|now| now.split(' ').next() == Some("full")) {
        return Ok(());
    }
    let now_said = now.map_or_else(
        || "`cki info` says nothing of isolation".to_owned(),
        |now| format!("`cki info` says that isolation is {now}"),
    );
    match before {
        Before::Said(None) => Ok(()),
        Before::Said(Some(before)) if Some(before) == now => Ok(()),
        Before::Said(Some(before)) => Err(format!("{now_said}, and it was {before}")),
        Before::Unknown => Err(format!(
            "{now_said}, and what it was before is not known; --force takes that"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::answer;

    #[test]
    fn units_have_to_run_and_isolation_has_to_be_what_it_was() {
        let state = |changes: &[(&str, &str)]| State::read(&answer(changes)).expect("an answer");
        let full = Before::Said(Some("full (cki)"));
        let none = Before::Said(Some("none (model)"));
        let less = &[("isolation", "none (model)")];
        for before in [full, none, Before::Said(None), Before::Unknown] {
            assert_eq!(of_state(&state(&[]), before), Ok(()));
        }
        assert_eq!(of_state(&state(less), none), Ok(()));
        assert_eq!(
            of_state(&state(&[("isolation", "")]), Before::Said(None)),
            Ok(())
        );
        for (changes, before, why) in [
            (&[("units", "starting")], full, "units are starting"),
            (less, full, "is none (model), and it was full (cki)"),
            (
                &[("isolation", "")],
                full,
                "says nothing of isolation, and it was full",
            ),
            (less, Before::Unknown, "not known; --force takes that"),
            (&[("isolation", "")], Before::Unknown, "says nothing"),
            (&[("isolation", "fuller")], full, "is fuller"),
        ] {
            let said = of_state(&state(changes), before).expect_err("red");
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_system_on_trial_is_compared_with_what_it_says_that_there_was() {
        let before = |said: Option<&str>, force| {
            let mut state = State::read(&answer(&[])).expect("an answer");
            state.before = said.map(str::to_owned);
            match Before::of_trial(&state, force) {
                Before::Said(before) => Some(before.map(str::to_owned)),
                Before::Unknown => None,
            }
        };
        assert_eq!(
            before(Some("full (cki)"), true),
            Some(Some("full (cki)".to_owned()))
        );
        assert_eq!(before(Some("nothing"), false), Some(None));
        assert_eq!(before(None, false), None);
        assert_eq!(before(None, true), Some(None));
    }
}

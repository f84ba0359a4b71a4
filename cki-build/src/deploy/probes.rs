// SPDX-License-Identifier: MIT OR Apache-2.0

//! When a host is well.

use super::http::Url;
use super::state::State;

/// What has to be green.
#[derive(Debug, Clone, Default)]
pub struct Probes {
    /// Commands of the host's shell.
    pub commands: Vec<String>,
    /// Addresses that this machine asks.
    pub urls: Vec<Url>,
}

/// Why the host's own probes are not green: its units, and the isolation that it had before, which may get
/// better.
///
/// # Errors
/// The reason.
pub fn of_state(state: &State, isolation: Option<&str>) -> Result<(), String> {
    if state.units != "running" {
        return Err(format!("its units are {}", state.units));
    }
    match (isolation, state.isolation.as_deref()) {
        (Some(before), Some(now)) if before != now && !now.starts_with("full") => Err(format!(
            "`cki info` says that isolation is {now}, and it was {before}"
        )),
        (Some(before), None) => Err(format!(
            "`cki info` says nothing of isolation, which was {before}"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::state::tests::answer;

    #[test]
    fn units_have_to_run_and_isolation_has_to_be_what_it_was() {
        let state = |changes: &[(&str, &str)]| State::read(&answer(changes)).expect("an answer");
        assert_eq!(of_state(&state(&[]), Some("full (cki)")), Ok(()));
        assert_eq!(of_state(&state(&[("isolation", "")]), None), Ok(()));
        assert_eq!(of_state(&state(&[]), Some("none (model)")), Ok(()));
        for (changes, why) in [
            (&[("units", "starting")], "units are starting"),
            (
                &[("isolation", "none (model)")],
                "is none (model), and it was full (cki)",
            ),
            (&[("isolation", "")], "says nothing"),
        ] {
            let said = of_state(&state(changes), Some("full (cki)")).expect_err("red");
            assert!(said.contains(why), "{said}");
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What became of a host.

use serde::Serialize;

use super::contents::Difference;
use super::state::State;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Did {
    /// It was asked.
    Asked,
    /// Nothing, since it was so already.
    Nothing,
    /// Another system is the default and runs.
    Switched,
    /// A system runs on trial.
    OnTrial,
    /// The next start is a trial.
    Armed,
    /// A start that was to come is not.
    Disarmed,
    /// A trial was ended.
    Ended,
    /// What was asked for did not work.
    Failed,
    /// Somebody asked for the end.
    Interrupted,
    /// It was not touched, because of another host.
    LeftOut,
    /// What was done was undone, because of another host.
    Undone,
}

/// What became of a host.
#[derive(Debug, Clone, Serialize)]
pub struct HostOutcome {
    /// The host.
    pub host: String,
    /// Whether it is as it was asked for.
    pub good: bool,
    /// What was done.
    pub did: Did,
    /// That, and what the host is now, in words.
    pub text: String,
    /// What it said last, if it said anything.
    pub state: Option<State>,
    /// What would be different, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Difference>,
}

impl HostOutcome {
    /// One that was not touched.
    #[must_use]
    pub fn left_out(host: String, why: &str) -> Self {
        Self {
            host,
            good: false,
            did: Did::LeftOut,
            text: format!("left as it is: {why}"),
            state: None,
            changes: None,
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a session is to do.

use std::time::Duration;

use cki_session::{Isolation, Run, Signal};

/// What a session is to do.
#[derive(Debug)]
pub struct Plan {
    /// What init of the container is asked for; `None` only connects the kernel's console to our streams,
    /// until the guest ends.
    pub run: Option<Run>,
    /// What the module says of the container's isolation.
    pub isolation: Isolation,
    /// How long the program may run.
    pub timeout: Option<Duration>,
    /// What it gets when that is over, and how long it may then run on.
    pub stop: (Signal, Duration),
    /// How long the container may take until the program runs.
    pub start_timeout: Duration,
}

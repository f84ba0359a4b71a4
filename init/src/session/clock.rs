// SPDX-License-Identifier: MIT OR Apache-2.0

//! The clock of an emulated machine, which its client sets.
//!
//! The kernel has it from the emulator's CMOS clock, in whole seconds. Up to a second behind, a container would find
//! that files of a volume, which the user's machine has stamped, are of the future, and `make` complains.

use std::collections::VecDeque;
use std::time::Duration;

use cki_session::{Heard, Request};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

use crate::channel::Channel;
use crate::session::failure::ServeError;

/// The first requests of a client of a machine, once they are done that are about its clock. There is one at least.
///
/// # Errors
/// [`ServeError`]: the client has gone, or the clock cannot be set.
pub fn first_requests(control: &mut Channel) -> Result<VecDeque<Heard<Request>>, ServeError> {
    let mut requests = control.wait_for_messages()?;
    while let Some(Ok(Request::Clock { now_ns })) = requests.front() {
        let now = TimeSpec::from_duration(Duration::from_nanos(*now_ns));
        clock_settime(ClockId::CLOCK_REALTIME, now)
            .map_err(|error| ServeError::system("cannot set the clock")(error.into()))?;
        requests.pop_front();
        if requests.is_empty() {
            requests = control.wait_for_messages()?;
        }
    }
    Ok(requests)
}

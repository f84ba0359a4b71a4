// SPDX-License-Identifier: MIT OR Apache-2.0

//! The limits of a disk, and the requests that wait for them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cki_session::DiskRates;

use super::DriverFault;
use super::limiter::{Clock, Limiter};

/// Reads, or what changes the disk or waits for its medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// The limit of a direction, and the heads of the requests that wait for it, the first one first.
struct Lane {
    limiter: Limiter,
    waiting: VecDeque<u16>,
}

/// The limits of a disk. Reads do not wait for writes, nor writes for reads: a driver has a queue of hundreds of writes
/// ready, and whoever wants to read is behind them.
///
/// Of a request that waits, only its head is kept: it is read anew when its time has come, as if the driver had offered
/// it then.
pub(super) struct Throttle {
    clock: Clock,
    read: Lane,
    write: Lane,
}

impl Throttle {
    pub fn new(rates: DiskRates, clock: Clock) -> Self {
        let lane = |rates| Lane {
            limiter: Limiter::new(rates),
            waiting: VecDeque::new(),
        };
        Throttle {
            clock,
            read: lane(rates.read()),
            write: lane(rates.write()),
        }
    }

    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    /// The next that has waited long enough. Who takes it asks [`Throttle::admit`] whether it is what it was.
    pub fn next(&mut self) -> Option<u16> {
        let now = self.now();
        let lanes = [&mut self.read, &mut self.write];
        let mut ready = lanes.into_iter().filter(|lane| !lane.waiting.is_empty());
        let lane = ready.find(|lane| lane.limiter.wait(now).is_none())?;
        lane.waiting.pop_front()
    }

    /// Whether a request may be carried out at `now`; otherwise it waits. One that comes from the queue (`is_new`)
    /// waits behind the others.
    ///
    /// # Errors
    /// When there are more requests than a driver can have, which is `most`.
    pub fn admit(
        &mut self,
        direction: Direction,
        head: u16,
        is_new: bool,
        now: Instant,
        most: u16,
    ) -> Result<bool, DriverFault> {
        let waiting = self.read.waiting.len() + self.write.waiting.len();
        let lane = self.lane(direction);
        let is_behind = is_new && !lane.waiting.is_empty();
        if !is_behind && lane.limiter.wait(now).is_none() {
            return Ok(true);
        }
        // Each has a descriptor of its own, or the driver has offered one twice.
        if waiting >= usize::from(most) {
            return Err(DriverFault::Request("more requests than descriptors"));
        }
        lane.waiting.push_back(head);
        Ok(false)
    }

    /// A request that was admitted at `now` is done.
    pub fn take(&mut self, direction: Direction, now: Instant, bytes: u64) {
        self.lane(direction).limiter.take(now, bytes);
    }

    /// When a request has waited long enough, from now on; nothing if none waits.
    pub fn after(&self) -> Option<Duration> {
        let now = self.now();
        let lanes = [&self.read, &self.write].into_iter();
        let waiting = lanes.filter(|lane| !lane.waiting.is_empty());
        waiting
            .map(|lane| lane.limiter.wait(now).unwrap_or_default())
            .min()
    }

    /// Forgets the requests. What was done is done: a driver gets no second burst by a reset.
    pub fn reset(&mut self) {
        self.read.waiting.clear();
        self.write.waiting.clear();
    }
}

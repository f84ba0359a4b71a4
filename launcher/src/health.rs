// SPDX-License-Identifier: MIT OR Apache-2.0

//! When a container whose program is checked again and again is healthy, and when it is not any more: as Docker's
//! `HEALTHCHECK` has it.

use std::time::{Duration, Instant};

/// How often a container is checked, and what is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// From the end of a check to the next.
    pub interval: Duration,
    /// A check that takes longer has failed.
    pub timeout: Duration,
    /// So many checks that fail one after the other make the container unhealthy; at least 1.
    pub retries: u32,
    /// What fails in this time does not count, until a check has succeeded.
    pub start_period: Duration,
}

/// What is known after a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The container has become healthy: at first, or after checks that failed.
    Recovered,
    /// It is so still.
    Healthy,
    /// It is starting, and what failed does not count.
    Starting,
    /// So many checks have failed one after the other, fewer than are too many.
    Failing(u32),
    /// Too many have.
    Unhealthy,
}

/// The checks of one container until now.
#[derive(Debug)]
pub struct Checks {
    retries: u32,
    /// Until when failures do not count; `None` once a check has succeeded.
    starting_until: Option<Instant>,
    /// How many have failed since one succeeded.
    failed: u32,
    healthy: bool,
}

impl Checks {
    /// None yet, of a container that is looked at from `now` on.
    #[must_use]
    pub fn new(plan: &Plan, now: Instant) -> Self {
        Self {
            retries: plan.retries,
            starting_until: now.checked_add(plan.start_period),
            failed: 0,
            healthy: false,
        }
    }

    /// Counts a check that began at `began`.
    pub fn count(&mut self, began: Instant, succeeded: bool) -> Health {
        if succeeded {
            (self.starting_until, self.failed) = (None, 0);
            return match std::mem::replace(&mut self.healthy, true) {
                true => Health::Healthy,
                false => Health::Recovered,
            };
        }
        if self.starting_until.is_some_and(|until| began < until) {
            return Health::Starting;
        }
        self.healthy = false;
        self.failed = self.failed.saturating_add(1);
        match self.failed >= self.retries {
            true => Health::Unhealthy,
            false => Health::Failing(self.failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(retries: u32, start_period: u64) -> (Checks, Instant) {
        let now = Instant::now();
        let plan = Plan {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            retries,
            start_period: Duration::from_secs(start_period),
        };
        (Checks::new(&plan, now), now)
    }

    #[test]
    fn failures_one_after_the_other_make_a_container_unhealthy_and_a_success_forgets_them() {
        let (mut checks, now) = checks(3, 0);
        let said =
            [true, true, false, false, true, false, false, false].map(|ok| checks.count(now, ok));
        let expected = [
            Health::Recovered,
            Health::Healthy,
            Health::Failing(1),
            Health::Failing(2),
            Health::Recovered,
            Health::Failing(1),
            Health::Failing(2),
            Health::Unhealthy,
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn failures_while_it_starts_do_not_count_until_a_check_has_succeeded() {
        let (mut checks, now) = checks(1, 10);
        assert_eq!(checks.count(now, false), Health::Starting);
        assert_eq!(
            checks.count(now + Duration::from_secs(9), false),
            Health::Starting
        );
        assert_eq!(
            checks.count(now + Duration::from_secs(9), true),
            Health::Recovered
        );
        assert_eq!(
            checks.count(now + Duration::from_secs(9), false),
            Health::Unhealthy
        );
    }

    #[test]
    fn a_container_that_never_becomes_healthy_is_unhealthy_after_its_start() {
        let (mut checks, now) = checks(2, 10);
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(checks.count(at(9), false), Health::Starting);
        assert_eq!(checks.count(at(10), false), Health::Failing(1));
        assert_eq!(checks.count(at(11), false), Health::Unhealthy);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! How fast a device may be: buckets that fill with time, as others call them, too.
//!
//! Whatever is asked for is done as long as something is in the bucket, and may take more out of it than there is: so
//! nobody has to know beforehand how much that will be, and what is larger than a whole bucket is done, too. What is
//! asked for next waits until the debt is paid. In any time, there is no more than the burst, what the time gives, and
//! one request or frame. A burst is what a millisecond gives, at least: who waits is woken somewhat late, and would not
//! get the rate if a bucket were full by then.

use std::fmt;
use std::time::{Duration, Instant};

use cki_session::{Rate, Rates};

/// What tells the time.
pub struct Clock(Box<dyn Fn() -> Instant + Send>);

impl Clock {
    /// One of a test's own, and what sets it forward.
    #[cfg(test)]
    pub fn of_a_test() -> (Self, impl Fn(Duration)) {
        let time = std::sync::Arc::new(parking_lot::Mutex::new(Instant::now()));
        let now = std::sync::Arc::clone(&time);
        let clock = Clock(Box::new(move || *now.lock()));
        (clock, move |passed| *time.lock() += passed)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        (self.0)()
    }
}

/// The one that goes on while the host's time of day is set.
impl Default for Clock {
    fn default() -> Self {
        Clock(Box::new(Instant::now))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}

/// What a bucket holds at least. Who waits is later than told by some hundredth of a millisecond; on a machine that is
/// busy, more.
const LEAST: Duration = Duration::from_millis(1);

/// A bucket. What is in it is counted in the time that it takes to fill so much.
#[derive(Debug)]
struct Bucket {
    second: u64,
    /// What it holds: the burst.
    room: Duration,
    /// When it is full again; it is full at first.
    full: Option<Instant>,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        let (second, burst) = (rate.second(), rate.burst());
        let rest = u128::from(burst % second) * 1_000_000_000 / u128::from(second);
        let room = Duration::new(burst / second, rest as u32);
        Bucket {
            second,
            room: room.max(LEAST),
            full: None,
        }
    }

    /// How long until something is in it; nothing if that is so now.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let missing = self.full?.saturating_duration_since(now);
        let debt = missing.checked_sub(self.room)?;
        Some(debt + Duration::from_nanos(1))
    }

    fn take(&mut self, now: Instant, amount: u64) {
        let time = u128::from(amount) * 1_000_000_000;
        let time = u64::try_from(time.div_ceil(self.second.into())).unwrap_or(u64::MAX);
        let from = self.full.map_or(now, |full| full.max(now));
        // Otherwise it is never full again, as far as anybody can tell.
        self.full = from.checked_add(Duration::from_nanos(time)).or(self.full);
    }
}

/// The limits of one direction of a device.
#[derive(Debug)]
pub struct Limiter {
    bytes: Option<Bucket>,
    operations: Option<Bucket>,
}

impl Limiter {
    /// Limits to these rates.
    pub fn new(rates: Rates) -> Self {
        Limiter {
            bytes: rates.bytes.map(Bucket::new),
            operations: rates.operations.map(Bucket::new),
        }
    }

    /// How long until the next operation may be done; nothing if it may be done now.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let buckets = [&self.bytes, &self.operations].into_iter().flatten();
        buckets.filter_map(|bucket| bucket.wait(now)).max()
    }

    /// An operation with so many bytes is done.
    pub fn take(&mut self, now: Instant, bytes: u64) {
        if let Some(bucket) = &mut self.bytes {
            bucket.take(now, bytes);
        }
        if let Some(bucket) = &mut self.operations {
            bucket.take(now, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limiter(bytes: &str, operations: &str) -> Limiter {
        Limiter::new(Rates {
            bytes: bytes.parse().ok(),
            operations: operations.parse().ok(),
        })
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_at_once_and_the_rest_takes_its_time() {
        let (start, mut limiter) = (Instant::now(), limiter("1000+5000", ""));
        for _ in 0..5 {
            assert_eq!(limiter.wait(start), None);
            limiter.take(start, 1000);
        }
        let soon = Duration::from_nanos(1);
        assert_eq!(limiter.wait(start), Some(soon));
        assert_eq!(limiter.wait(start + soon), None);
        // More than is there: a debt, and longer for who comes next.
        limiter.take(start + soon, 3000);
        assert_eq!(limiter.wait(start + soon), Some(3 * SECOND));
        assert_eq!(limiter.wait(start + SECOND), Some(2 * SECOND + soon));
        // A long time gives a burst and no more.
        let late = start + 1000 * SECOND;
        limiter.take(late, 4999);
        assert_eq!(limiter.wait(late), None);
        limiter.take(late, 1);
        assert_eq!(limiter.wait(late), Some(soon));
    }

    #[test]
    fn whichever_limit_is_reached_first_counts() {
        let (start, mut limiter) = (Instant::now(), limiter("1000", "10+2"));
        limiter.take(start, 0);
        assert_eq!(limiter.wait(start), None);
        limiter.take(start, 0);
        let operations = limiter.wait(start).unwrap();
        assert!(operations < SECOND / 10, "{operations:?}");
        limiter.take(start, 4000);
        let bytes = limiter.wait(start).unwrap();
        assert!((3 * SECOND..4 * SECOND).contains(&bytes), "{bytes:?}");
        let mut none = Limiter::new(Rates::default());
        none.take(start, u64::MAX);
        assert_eq!(none.wait(start), None);
    }

    #[test]
    fn no_rate_is_too_low_or_too_high() {
        let start = Instant::now();
        for rate in ["1", "1024T+1", "1+1024T", "1024T"] {
            let mut limiter = limiter(rate, rate);
            assert_eq!(limiter.wait(start), None, "{rate}");
            limiter.take(start, 32 << 20);
            let later = start + Duration::from_secs(1 << 26);
            assert_eq!(limiter.wait(later), None, "{rate}");
            // Nobody has so much; the limiter does not fail for it.
            limiter.take(start, u64::MAX);
            limiter.take(start, u64::MAX);
            limiter.wait(start);
        }
    }

    proptest! {
        /// Someone who takes whatever is to be had, whenever they like.
        #[test]
        fn no_more_than_the_burst_and_what_time_gives_and_one_request(
            second in 1u64..1 << 34,
            burst in 1u64..1 << 34,
            steps in prop::collection::vec((0u64..2_000_000_000, 1u64..1 << 22), 1..200),
        ) {
            let mut limiter = Limiter::new(Rates {
                bytes: Rate::new(second, burst).ok(),
                operations: None,
            });
            // What a bucket holds at least.
            let burst = burst.max(second.div_ceil(1000));
            let start = Instant::now();
            let (mut now, mut taken, mut largest) = (start, 0u128, 0u128);
            for (nanoseconds, amount) in steps {
                now += Duration::from_nanos(nanoseconds);
                while limiter.wait(now).is_none() {
                    limiter.take(now, amount);
                    taken += u128::from(amount);
                    largest = largest.max(amount.into());
                    let given = (now - start).as_nanos() * u128::from(second) / 1_000_000_000;
                    // One more for what is less than a nanosecond.
                    let slack = u128::from(second) / 1_000_000_000 + 1;
                    prop_assert!(taken <= u128::from(burst) + given + largest + slack);
                    if taken > 1 << 60 || amount * 1000 < burst { break }
                }
            }
        }

        /// Who waits as long as they are told, or somewhat longer, gets on, and gets the rate.
        #[test]
        fn who_waits_gets_the_rate(
            second in 1u64..1 << 34,
            amount in 1u64..1 << 22,
            late in prop::collection::vec(0u64..1_000_000, 50),
        ) {
            let mut limiter = Limiter::new(Rates {
                bytes: Rate::new(second, 1).ok(),
                operations: None,
            });
            let start = Instant::now();
            let mut now = start;
            for nanoseconds in late {
                limiter.take(now, amount);
                if let Some(wait) = limiter.wait(now) {
                    now += wait;
                    prop_assert_eq!(limiter.wait(now), None);
                    now += Duration::from_nanos(nanoseconds);
                }
            }
            // Late once, at the end, and not each time.
            let ideal = 50.0 * amount as f64 / second as f64 + 1e-3;
            let real = (now - start).as_secs_f64();
            prop_assert!(real <= ideal * 1.01 + 200e-9, "{} instead of {}", real, ideal);
        }
    }
}

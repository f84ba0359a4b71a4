// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counting tests from what Rust's test harness (and libtest-mimic, which writes the same) prints.

/// Tests that were counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed; a runner that ended without its summary is one.
    pub failed: u64,
    /// Tests that the runner left out (`#[ignore]`).
    pub ignored: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// Reads a harness's standard output line by line.
#[derive(Debug, Default)]
pub struct Counter {
    count: Count,
    /// A runner has announced tests and not summed up yet.
    open: bool,
}

impl Counter {
    /// Takes a line.
    pub fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if is_announcement(line) {
            self.close();
            self.open = true;
        } else if let Some(summary) = summary(line) {
            self.open = false;
            self.count += summary;
        }
    }

    /// The count, once the runners have ended; `success` is whether their common status was 0.
    ///
    /// A status that says failure while all summaries are good (a build error, a crash after the
    /// summary) is a failed test too: nothing that went wrong may be missing in the sum.
    #[must_use]
    pub fn finish(mut self, success: bool) -> Count {
        self.close();
        if !success && self.count.failed == 0 {
            self.count.failed = 1;
        }
        self.count
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.count.failed += 1;
        }
    }
}

/// `running 3 tests`, `running 1 test`.
fn is_announcement(line: &str) -> bool {
    line.strip_prefix("running ")
        .and_then(|rest| {
            rest.strip_suffix(" tests")
                .or_else(|| rest.strip_suffix(" test"))
        })
        .is_some_and(|number| number.parse::<u64>().is_ok())
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
fn summary(line: &str) -> Option<Count> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut count = Count::default();
    for part in numbers.split("; ") {
        let Some((number, what)) = part.split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse() else { continue };
        match what {
            "passed" => count.passed = number,
            "failed" => count.failed = number,
            "ignored" => count.ignored = number,
            _ => {}
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(output: &str, success: bool) -> Count {
        let mut counter = Counter::default();
        output.lines().for_each(|line| counter.line(line));
        counter.finish(success)
    }

    const GOOD: &str = "\nrunning 3 tests\ntest a ... ok\n\n\
        test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.01s\n";

    #[test]
    fn summaries_are_added_up() {
        let bad = "running 1 test\ntest b ... FAILED\n\
            test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let sum = count(&format!("{GOOD}{bad}{GOOD}"), false);
        assert_eq!((sum.passed, sum.failed, sum.ignored), (4, 1, 2));
    }

    #[test]
    fn a_runner_that_dies_without_a_summary_has_failed() {
        let sum = count(&format!("{GOOD}running 5 tests\ntest a ... ok\n"), false);
        assert_eq!((sum.passed, sum.failed), (2, 1));
        let sum = count(&format!("running 5 tests\ntest a ... ok\n{GOOD}"), false);
        assert_eq!((sum.passed, sum.failed), (2, 1));
    }

    #[test]
    fn a_failure_without_any_failed_test_counts() {
        assert_eq!(count("error: could not compile", false).failed, 1);
        assert_eq!(count(GOOD, false).failed, 1);
        assert_eq!(count(GOOD, true).failed, 0);
    }

    #[test]
    fn what_a_test_prints_is_not_taken_for_the_harness() {
        let sum = count(
            "running away tests\nrunning tests\nrunning -1 tests\n",
            true,
        );
        assert_eq!(sum, Count::default());
    }
}

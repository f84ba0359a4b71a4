// SPDX-License-Identifier: MIT OR Apache-2.0

//! From what the hosts' programs put out to a report.

use std::collections::BTreeSet;

use cki_machine::storm::{self, Sent};
use cki_session::console::INIT_LINE;
use serde::Serialize;

/// How parts of the output begin.
const MARK: &str = "== ";
/// NMIs that are to be injected a second, and of them at least so many hundredths.
const RATE: f64 = 1000.0;
const LEAST_RATE: f64 = 0.8;
/// Of those injected, each processor sees at least so many: two that come while one waits become one.
const LEAST_SEEN: f64 = 0.5;

/// What a storm did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Its length, in seconds.
    pub seconds: f64,
    /// NMIs that the emulator injected, on each processor.
    pub injected: u64,
    /// NMIs that the host's kernel has counted while the containers ran, by processor.
    pub delivered: Vec<u64>,
    /// Containers that ran from start to end.
    pub containers: usize,
    /// How those went that did not end with status 0 and what the program puts out natively.
    pub different: Vec<String>,
    /// What the host's kernel said that it does not say of a container, and that is not about NMIs.
    pub log: Vec<String>,
    /// In words, what is not as it should be.
    pub faults: Vec<String>,
}

/// What a host's program put out, taken apart.
#[derive(Debug, Default)]
struct Parts<'a> {
    native: Option<(&'a str, String)>,
    lives: Vec<(&'a str, String)>,
    nmis: Vec<Vec<u64>>,
    log: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(output: &'a str) -> Self {
        let mut parts = Self::default();
        let mut lines = output.lines().peekable();
        while let Some(line) = lines.next() {
            let mut body = Vec::new();
            let is_log = line == "== log";
            while let Some(line) = lines.next_if(|line| is_log || !line.starts_with(MARK)) {
                body.push(line);
            }
            match line
                .strip_prefix(MARK)
                .and_then(|line| line.split_once(' '))
            {
                Some(("native", status)) => parts.native = Some((status, body.join("\n"))),
                Some(("life", status)) => parts.lives.push((status, body.join("\n"))),
                Some(("nmis", counts)) => {
                    let numbers = counts
                        .split_whitespace()
                        .map_while(|word| word.parse().ok());
                    parts.nmis.push(numbers.collect());
                }
                _ if is_log => parts.log = body,
                _ => {}
            }
        }
        parts
    }

    /// The lines of the log, without their times.
    fn said(&self) -> impl Iterator<Item = &'a str> {
        let lines = self.log.iter();
        lines.map(|line| line.split_once("] ").map_or(*line, |(_, rest)| rest))
    }
}

impl Report {
    /// From the outputs without and with NMIs.
    ///
    /// # Errors
    /// A sentence: what was not measured.
    pub fn new(quiet: &str, stormy: &str, sent: Sent) -> Result<Self, String> {
        let (quiet, stormy) = (Parts::of(quiet), Parts::of(stormy));
        let missing = |what: &str| format!("the machine has not told {what}");
        let native = quiet
            .native
            .as_ref()
            .ok_or_else(|| missing("what is right"))?;
        if native.0 != "0" || native.1.lines().count() < 3 {
            return Err(format!("natively the program does not work: {native:?}"));
        }
        if quiet.lives.first() != Some(native) {
            return Err(format!(
                "without NMIs a container does something else: {:?}, natively {native:?}",
                quiet.lives
            ));
        }
        if quiet.log.is_empty() || stormy.log.is_empty() {
            return Err(missing("the kernel's log"));
        }
        let delivered = match &stormy.nmis[..] {
            [before, after] if before.len() == after.len() && !after.is_empty() => {
                let pairs = after.iter().zip(before);
                pairs.map(|(after, before)| after - before).collect()
            }
            _ => return Err(missing("how many NMIs its processors saw")),
        };
        // What one boot says before init, another one may say behind it.
        let known: BTreeSet<_> = quiet.said().map(storm::words).collect();
        let mut report = Self {
            seconds: sent.time.as_secs_f64(),
            injected: sent.count,
            delivered,
            containers: stormy.lives.len(),
            different: (stormy.lives.iter().filter(|life| *life != native))
                .map(|(status, output)| format!("status {status}: {output}"))
                .collect(),
            log: (stormy.said())
                .skip_while(|line| !line.contains(INIT_LINE))
                .skip(1)
                .filter(|line| !storm::is_expected(line) && !known.contains(&storm::words(line)))
                .map(str::to_owned)
                .collect(),
            faults: Vec::new(),
        };
        report.faults = report.judge();
        Ok(report)
    }

    fn judge(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let rate = self.injected as f64 / self.seconds;
        if rate < RATE * LEAST_RATE {
            faults.push(format!(
                "only {rate:.0} NMIs a second: the computer is too slow or busy"
            ));
        }
        for (cpu, &seen) in self.delivered.iter().enumerate() {
            if (seen as f64) < self.injected as f64 * LEAST_SEEN {
                faults.push(format!("processor {cpu} saw {seen} of {}", self.injected));
            }
        }
        if self.containers < self.delivered.len() {
            faults.push(format!("only {} containers ran", self.containers));
        }
        for different in &self.different {
            faults.push(format!("a container did something else: {different}"));
        }
        for line in &self.log {
            faults.push(format!("the host's log: {line}"));
        }
        faults
    }

    /// Whether all is as it should be.
    #[must_use]
    pub fn good(&self) -> bool {
        self.faults.is_empty()
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let delivered: Vec<_> = self.delivered.iter().map(u64::to_string).collect();
        let mut text = format!(
            "{:.1} s, {} NMIs injected on each processor ({:.0} a second), delivered {}\n\
             {} containers from start to end, {} of them with another output than natively",
            self.seconds,
            self.injected,
            self.injected as f64 / self.seconds,
            delivered.join(" and "),
            self.containers,
            self.different.len(),
        );
        for fault in &self.faults {
            text.push_str(&format!("\nMISSED: {fault}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LOG: &str = "== log\n[ 1.0] before\n[ 1.1] Run /init as init process\n[ 1.2] cki: isolation: full (cki)\n";
    const RIGHT: &str = "0\nforks 30\nfaults 1\nabc  -\n";
    const SENT: Sent = Sent {
        count: 1000,
        time: Duration::from_secs(1),
    };

    fn quiet() -> String {
        format!("== native {RIGHT}== life {RIGHT}{LOG}")
    }

    fn stormy() -> String {
        format!(
            "== nmis 5 7 Non-maskable interrupts\n== life {RIGHT}== life {RIGHT}\
             == nmis 1003 905 Non-maskable interrupts\n{LOG}\
             [ 2.0] Uhhuh. NMI received for unknown reason 3f on CPU 1.\n"
        )
    }

    #[test]
    fn a_storm_without_harm_is_good_and_has_its_figures() {
        let report = Report::new(&quiet(), &stormy(), SENT).expect("complete");
        assert!(report.good(), "{report:?}");
        assert_eq!(report.delivered, [998, 898]);
        assert_eq!(
            report.text(),
            "1.0 s, 1000 NMIs injected on each processor (1000 a second), delivered 998 and 898\n\
             2 containers from start to end, 0 of them with another output than natively"
        );
    }

    #[test]
    fn harm_is_told() {
        let fault = |stormy: String, sent: Sent| {
            let report = Report::new(&quiet(), &stormy, sent).expect("complete");
            assert_eq!(report.good(), report.faults.is_empty());
            report.faults.join("; ")
        };
        let other = stormy().replacen("faults 1", "faults 2", 1);
        assert!(fault(other, SENT).contains("something else: status 0: forks 30\nfaults 2"));
        let failed = stormy().replacen("== life 0", "== life 125", 1);
        assert!(fault(failed, SENT).contains("something else: status 125"));
        let noisy = stormy() + "[ 2.1] BUG: unable to handle page fault at 12\n";
        assert!(fault(noisy, SENT).contains("log: BUG: unable to handle"));
        let lost = stormy().replace("== nmis 1003 905", "== nmis 1003 200");
        assert_eq!(fault(lost, SENT), "processor 1 saw 193 of 1000");
        let slow = Sent { count: 700, ..SENT };
        assert!(fault(stormy(), slow).contains("only 700 NMIs a second"));
        let one = stormy().replacen(&format!("== life {RIGHT}"), "", 1);
        assert_eq!(fault(one, SENT), "only 1 containers ran");
    }

    #[test]
    fn what_was_not_measured_is_no_result() {
        for (quiet, stormy) in [
            (String::new(), stormy()),
            (quiet().replace("== native 0", "== native 1"), stormy()),
            (quiet().replacen("== life 0", "== life 1", 1), stormy()),
            (quiet(), String::new()),
            (quiet(), stormy().replacen("== nmis", "== none", 1)),
            (quiet(), stormy().replace("== log", "== no log")),
        ] {
            assert!(
                Report::new(&quiet, &stormy, SENT).is_err(),
                "{quiet}{stormy}"
            );
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! From what the host said to a report.

use std::fmt::Write as _;

use serde::Serialize;

/// Kinds of work: as the host names them, in words, how many of what is told are done for one that it counts, and the
/// largest ratio that is wanted.
const KINDS: [(&str, &str, f64, f64); 8] = [
    ("read_4k", "random read of 4 KiB", 1.0, 3.0),
    ("write_4k", "random write of 4 KiB", 1.0, 3.0),
    ("read_1m", "sequential read of 1 MiB", 1.0, 1.5),
    ("write_1m", "sequential write of 1 MiB", 1.0, 1.5),
    ("send_1m", "1 MiB sent by TCP", 1.0, 1.5),
    ("receive_1m", "1 MiB received by TCP", 1.0, 1.5),
    (
        "round_trip",
        "request and response of a byte by TCP",
        1.0,
        3.0,
    ),
    ("checkout", "git checkout of a file", 600.0, 1.5),
];
/// Most KiB of a launcher.
const LAUNCHER: u64 = 8 << 10;

/// One kind of work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Work {
    /// What, in words.
    pub name: &'static str,
    /// Instructions of a process, the median.
    pub native: f64,
    /// Of a container.
    pub container: f64,
    /// The second by the first.
    pub ratio: f64,
    /// The largest that is wanted.
    pub goal: f64,
    /// Whether it is not larger.
    pub met: bool,
    /// How far the ratio of the dearest time of a container to the cheapest of the process, and the other way round,
    /// are from each other: what a repetition may give.
    pub range: [f64; 2],
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// By kind.
    pub works: Vec<Work>,
    /// Largest resident memory of the launcher, with a network and two disks besides the root's, in KiB.
    pub launcher_kib: u64,
    /// Whether that is at most 8 MiB.
    pub launcher_met: bool,
}

impl Report {
    /// From the host's output.
    ///
    /// # Errors
    /// A sentence: what was not measured.
    pub fn new(output: &str) -> Result<Self, String> {
        let line = |side: &str, kind: &str| {
            let start = format!("{side} {kind} ");
            let numbers = output.lines().find_map(|line| line.strip_prefix(&start));
            let numbers = numbers.ok_or_else(|| format!("{kind} was not measured ({side})"))?;
            let parse = |word: &str| word.parse::<f64>();
            let numbers: Result<Vec<_>, _> = numbers.split_whitespace().map(parse).collect();
            let numbers = numbers.map_err(|error| format!("{side} {kind}: {error}"))?;
            Ok::<_, String>(numbers)
        };
        let each = |side: &str, kind: &str, of: f64| {
            let numbers = line(side, kind)?;
            match numbers.split_first() {
                Some((count, took)) if *count > 0.0 && took.len() % 2 == 1 => {
                    let mut each: Vec<f64> = took.iter().map(|took| took / count / of).collect();
                    each.sort_by(f64::total_cmp);
                    if each[0] > 0.0 {
                        return Ok(each);
                    }
                    Err(format!("{kind} took nothing ({side})"))
                }
                _ => Err(format!("{kind} was not measured ({side})")),
            }
        };
        let work = |&(kind, name, of, goal): &(&str, &'static str, f64, f64)| {
            let (native, container) = (each("native", kind, of)?, each("container", kind, of)?);
            let middle = |sorted: &[f64]| sorted[sorted.len() / 2];
            let ends = |sorted: &[f64]| (sorted[0], sorted[sorted.len() - 1]);
            let ratio = middle(&container) / middle(&native);
            let ((least, most), (native_least, native_most)) = (ends(&container), ends(&native));
            Ok::<_, String>(Work {
                name,
                native: middle(&native),
                container: middle(&container),
                ratio,
                goal,
                met: ratio <= goal,
                range: [least / native_most, most / native_least],
            })
        };
        let launcher = line("container", "resident")?;
        let launcher_kib = *launcher
            .first()
            .ok_or("the launcher's memory was not measured")? as u64;
        Ok(Report {
            works: KINDS.iter().map(work).collect::<Result<_, _>>()?,
            launcher_kib,
            launcher_met: launcher_kib <= LAUNCHER,
        })
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<40} {:>12} {:>12} {:>6} {:>12}\n",
            "instructions of", "native", "container", "ratio", "at most"
        );
        let verdict = |met: bool| if met { "" } else { "  MISSED" };
        for work in &self.works {
            let _ = writeln!(
                text,
                "{:<40} {:>12.0} {:>12.0} {:>6.2} {:>12}{}",
                work.name,
                work.native,
                work.container,
                work.ratio,
                work.goal,
                verdict(work.met)
            );
        }
        let _ = write!(
            text,
            "{:<40} {:>12} {:>12} {:>6} {:>12}{}",
            "launcher, KiB resident",
            "",
            self.launcher_kib,
            "",
            LAUNCHER,
            verdict(self.launcher_met)
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a host says.
    fn output() -> String {
        let mut text = String::new();
        for (side, times) in [("native", [100, 110, 90]), ("container", [210, 190, 200])] {
            for (kind, ..) in KINDS {
                let took = times.map(|time| (time * 1200).to_string()).join(" ");
                text += &format!("{side} {kind} 2 {took}\n");
            }
            text += &format!("{side} resident 5000\n");
        }
        text
    }

    #[test]
    fn the_median_of_each_side_makes_a_ratio_that_meets_its_goal_or_not() {
        let report = Report::new(&output()).unwrap();
        assert_eq!(report.works.len(), KINDS.len());
        let random = &report.works[0];
        assert_eq!((random.native, random.container), (60000.0, 120_000.0));
        assert_eq!((random.ratio, random.met), (2.0, true));
        let range = [190.0 / 110.0, 210.0 / 90.0];
        assert!(
            random
                .range
                .iter()
                .zip(range)
                .all(|(is, wanted)| (is - wanted).abs() < 1e-9)
        );
        assert!(!report.works[2].met);
        let table = report.table();
        assert_eq!(table.matches("MISSED").count(), 5, "{table}");
        let large = output().replace("resident 5000", "resident 9000");
        assert!(!Report::new(&large).unwrap().launcher_met);
    }

    #[test]
    fn what_was_not_measured_is_no_number() {
        for (from, to, reason) in [
            ("native read_1m", "odd", "read_1m was not measured (native)"),
            ("container resident", "odd", "resident was not measured"),
            (
                "container send_1m 2 ",
                "container send_1m 2 x ",
                "invalid float",
            ),
            (
                "container send_1m 2 252000",
                "container send_1m 2 -1",
                "took nothing",
            ),
            ("native send_1m 2 ", "native send_1m 0 ", "was not measured"),
        ] {
            let error = Report::new(&output().replace(from, to)).unwrap_err();
            assert!(error.contains(reason), "{from}: {error}");
        }
    }
}

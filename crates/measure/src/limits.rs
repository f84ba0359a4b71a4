// SPDX-License-Identifier: MIT OR Apache-2.0

//! What containers may cost, and what they did cost: from the lines of the machine to a report.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cki_micro::{Counts, Line, Place, Sample, name};
use serde::Serialize;

/// One number and its limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Criterion {
    /// What, in words.
    pub name: &'static str,
    /// Measured value.
    pub measured: f64,
    /// Largest value that meets it.
    pub limit: f64,
    /// Whether it does.
    pub met: bool,
}

/// An operation on both kernels, in instructions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// On the machine's own kernel, median over batches.
    pub native: f64,
    /// In a container.
    pub container: f64,
    /// The second by the first.
    pub ratio: f64,
    /// Means over batches, which the timer's interrupts are in.
    pub means: [f64; 2],
    /// Operations on each.
    pub repetitions: u32,
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The limits.
    pub criteria: Vec<Criterion>,
    /// The operations.
    pub operations: Vec<Operation>,
    /// Instructions of calls, gate to gate.
    pub gates: BTreeMap<String, u64>,
    /// Instructions of the machine before its kernel.
    pub firmware: u64,
    /// Instructions of its kernel up to the first of PID 1.
    pub kernel_boot: u64,
    /// Instructions from the launcher's exec to the first of the container's PID 1, start by start.
    pub container_starts: Vec<u64>,
    /// Largest resident memory of a launcher, in bytes, without the container's.
    pub launcher_bytes: u64,
    /// Memory of a monitor, in bytes.
    pub monitor_bytes: u64,
    /// Memory of its container, in bytes.
    pub container_bytes: u64,
}

/// 8 MiB.
const LAUNCHER_BYTES: f64 = (8 << 20) as f64;

impl Report {
    /// Puts together what the machine printed, and what its firmware takes.
    ///
    /// # Errors
    /// A sentence: what was not measured.
    pub fn new(lines: &[Line], firmware: u64) -> Result<Self, String> {
        if let Some(message) = lines.iter().find_map(|line| match line {
            Line::Failed { message } => Some(message),
            _ => None,
        }) {
            return Err(message.clone());
        }
        if !lines.contains(&Line::Done) {
            return Err("the machine ended before it had measured everything".to_owned());
        }
        let boot = lines.iter().find_map(|line| match line {
            Line::Boot { init, idle } => Some(init - idle),
            _ => None,
        });
        let container_starts: Vec<u64> = lines
            .iter()
            .filter_map(|line| match line {
                Line::Start { exec, init, idle } => Some(init - exec - idle),
                _ => None,
            })
            .collect();
        let gates = lines
            .iter()
            .filter_map(|line| match line {
                Line::Gate { name, count } => Some((name.clone(), *count)),
                _ => None,
            })
            .collect();
        let ends: Vec<_> = lines
            .iter()
            .filter_map(|line| match line {
                Line::End {
                    faults,
                    launcher_bytes,
                    counts,
                } => Some((*faults, *launcher_bytes, counts)),
                _ => None,
            })
            .collect();
        let &(_, _, memory) = ends.first().ok_or("no container has ended")?;
        let mut report = Self {
            criteria: Vec::new(),
            operations: operations(lines)?,
            gates,
            firmware,
            kernel_boot: boot
                .and_then(|boot| boot.checked_sub(firmware))
                .ok_or("the machine has not booted")?,
            container_starts,
            launcher_bytes: ends.iter().map(|end| end.1).max().unwrap_or_default(),
            monitor_bytes: memory.monitor_bytes,
            container_bytes: memory.memory_bytes,
        };
        report.criteria = report.judge(calls_of_a_fault(&ends)?)?;
        Ok(report)
    }

    fn judge(&self, calls_of_a_fault: f64) -> Result<Vec<Criterion>, String> {
        let ratio = |name: &str| {
            let operation = self.operations.iter().find(|o| o.name == name);
            operation
                .map(|operation| operation.ratio)
                .ok_or_else(|| format!("{name} was not measured"))
        };
        let gate = |name: &str| {
            let count = self.gates.get(name);
            count
                .map(|&count| count as f64)
                .ok_or_else(|| format!("{name} was not counted"))
        };
        let &start = self
            .container_starts
            .first()
            .ok_or("no container has started")?;
        Ok(vec![
            criterion("getpid, container / native", ratio(name::GETPID)?, 1.02),
            // Page tables and interrupts of the timer, a few in thousands of faults, need calls, too.
            criterion(
                "anonymous page fault, KSM calls",
                (calls_of_a_fault * 100.0).round() / 100.0,
                1.0,
            ),
            criterion(
                "anonymous page fault, container / native",
                ratio(name::PAGE_FAULT)?,
                1.16,
            ),
            criterion(
                "KSM_ENTRY_SET, gate to gate, instructions",
                gate("entry_set_user_page")?,
                200.0,
            ),
            criterion(
                "hypercall to the module and back, instructions",
                gate("hypercall_event_send")?,
                760.0,
            ),
            criterion(
                "hypercall to the module and back, flushes of a whole TLB",
                gate("hypercall_flushes")?,
                4.0,
            ),
            criterion(
                "container start / boot of the host's kernel",
                start as f64 / self.kernel_boot as f64,
                0.5,
            ),
            criterion(
                "launcher, resident bytes",
                self.launcher_bytes as f64,
                LAUNCHER_BYTES,
            ),
            criterion(
                "KSM memory / container's",
                self.monitor_bytes as f64 / self.container_bytes as f64,
                0.02,
            ),
        ])
    }

    /// The report for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |words: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{words}");
        };
        line(format_args!(
            "{:<22}{:>12}{:>12}{:>8}",
            "instructions of", "native", "container", "ratio"
        ));
        for o in &self.operations {
            line(format_args!(
                "{:<22}{:>12.1}{:>12.1}{:>8.3}",
                o.name, o.native, o.container, o.ratio
            ));
        }
        line(format_args!(""));
        // The flushes are no instructions; they are among the criteria.
        let is_count = |name: &str| !name.contains('.') && !name.ends_with("flushes");
        for (name, count) in self.gates.iter().filter(|(name, _)| is_count(name)) {
            line(format_args!("{name:<34}{count:>12}"));
        }
        let starts: Vec<_> = self.container_starts.iter().map(|&n| millions(n)).collect();
        line(format_args!(
            "\nboot of the host's kernel: {} million instructions (firmware before it: {})",
            millions(self.kernel_boot),
            millions(self.firmware)
        ));
        line(format_args!(
            "container starts: {} million instructions\n",
            starts.join(", ")
        ));
        for c in &self.criteria {
            let verdict = if c.met { "" } else { "  MISSED" };
            line(format_args!(
                "{:<48}{:>10} of {}{verdict}",
                c.name,
                short(c.measured),
                short(c.limit)
            ));
        }
        text.trim_end().to_owned()
    }
}

fn criterion(name: &'static str, measured: f64, limit: f64) -> Criterion {
    Criterion {
        name,
        measured,
        limit,
        met: measured <= limit,
    }
}

fn millions(count: u64) -> String {
    format!("{:.1}", count as f64 / 1e6)
}

/// Counts as they are, ratios with three places.
fn short(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value}")
    } else {
        format!("{value:.3}")
    }
}

fn operations(lines: &[Line]) -> Result<Vec<Operation>, String> {
    let samples = |wanted: Place| {
        lines.iter().filter_map(move |line| match line {
            Line::Sample { place, sample } if *place == wanted => Some(sample),
            _ => None,
        })
    };
    let both = |native: &Sample| {
        let container = samples(Place::Container).find(|other| other.name == native.name);
        let container =
            container.ok_or_else(|| format!("{} was not measured in a container", native.name))?;
        Ok(Operation {
            name: native.name.clone(),
            native: native.instructions,
            container: container.instructions,
            ratio: container.instructions / native.instructions,
            means: [native.mean, container.mean],
            repetitions: native.repetitions,
        })
    };
    samples(Place::Native).map(both).collect()
}

/// Calls of both gates that one fault takes: of two containers that differ in the number of faults.
fn calls_of_a_fault(ends: &[(Option<u64>, u64, &Counts)]) -> Result<f64, String> {
    let mut calls: Vec<_> = ends
        .iter()
        .filter_map(|&(faults, _, counts)| {
            Some((faults?, counts.monitor_calls + counts.monitor_returns))
        })
        .collect();
    calls.sort_unstable();
    match calls[..] {
        [(few, before), .., (many, after)] if few < many && before <= after => {
            Ok((after - before) as f64 / (many - few) as f64)
        }
        _ => Err("the calls of page faults were not counted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(place: Place, name: &str, instructions: f64) -> Line {
        Line::Sample {
            place,
            sample: Sample {
                name: name.to_owned(),
                instructions,
                mean: instructions + 1.0,
                repetitions: 100,
            },
        }
    }

    fn end(faults: Option<u64>, calls: u64) -> Line {
        Line::End {
            faults,
            launcher_bytes: 6 << 20,
            counts: Counts {
                memory_bytes: 256 << 20,
                monitor_bytes: 1 << 20,
                monitor_calls: calls,
                monitor_returns: 3,
                hypercalls: 0,
                interrupts: 0,
            },
        }
    }

    fn gate(name: &str, count: u64) -> Line {
        Line::Gate {
            name: name.to_owned(),
            count,
        }
    }

    fn lines() -> Vec<Line> {
        vec![
            Line::Boot { init: 110, idle: 0 },
            sample(Place::Native, name::GETPID, 200.0),
            sample(Place::Native, name::PAGE_FAULT, 2000.0),
            gate("entry_set_user_page", 167),
            gate("hypercall_event_send", 760),
            Line::Start {
                exec: 1000,
                init: 1060,
                idle: 10,
            },
            sample(Place::Container, name::GETPID, 200.0),
            sample(Place::Container, name::PAGE_FAULT, 2300.0),
            end(None, 9_999),
            end(Some(0), 1000),
            end(Some(16_384), 17_384),
            gate("hypercall_flushes", 2),
            Line::Done,
        ]
    }

    fn missed(lines: &[Line]) -> Vec<&'static str> {
        let report = Report::new(lines, 10).expect("complete");
        let missed = report.criteria.iter().filter(|criterion| !criterion.met);
        missed.map(|criterion| criterion.name).collect()
    }

    #[test]
    fn what_is_within_its_limits_meets_them() {
        let report = Report::new(&lines(), 10).expect("complete");
        assert_eq!(missed(&lines()), Vec::<&str>::new());
        assert_eq!(report.criteria.len(), 9);
        assert_eq!(report.kernel_boot, 100);
        assert_eq!(report.container_starts, [50]);
        assert!(!report.table().contains("MISSED"), "{}", report.table());
    }

    #[test]
    fn what_is_not_is_printed_as_missed() {
        let change = |change: fn(&mut Vec<Line>)| {
            let mut lines = lines();
            change(&mut lines);
            missed(&lines)
        };
        assert_eq!(
            change(|lines| lines[3] = gate("entry_set_user_page", 201)),
            ["KSM_ENTRY_SET, gate to gate, instructions"]
        );
        assert_eq!(
            change(|lines| lines[6] = sample(Place::Container, name::GETPID, 204.1)),
            ["getpid, container / native"]
        );
        assert_eq!(
            change(|lines| lines[10] = end(Some(16_384), 17_600)),
            ["anonymous page fault, KSM calls"]
        );
        assert_eq!(
            change(|lines| lines[11] = gate("hypercall_flushes", 5)),
            ["hypercall to the module and back, flushes of a whole TLB"]
        );
        let mut late = lines();
        late[5] = Line::Start {
            exec: 1000,
            init: 1061,
            idle: 10,
        };
        let report = Report::new(&late, 10).expect("complete");
        let table = report.table();
        let line = table.lines().find(|line| line.ends_with("MISSED"));
        assert_eq!(
            line,
            Some("container start / boot of the host's kernel          0.510 of 0.500  MISSED")
        );
    }

    #[test]
    fn a_measurement_that_is_not_there_is_a_failure() {
        for (index, line) in lines().iter().enumerate() {
            let mut fewer = lines();
            fewer.remove(index);
            // The first container's end tells nothing that the others do not.
            let needed = !matches!(line, Line::End { faults: None, .. });
            assert_eq!(Report::new(&fewer, 10).is_err(), needed, "{line:?}");
        }
        let mut failed = lines();
        failed.push(Line::Failed {
            message: "why".to_owned(),
        });
        assert_eq!(Report::new(&failed, 10), Err("why".to_owned()));
    }
}

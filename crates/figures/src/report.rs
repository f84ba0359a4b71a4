// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the paper claims, beside what its artifact's logs say and what was measured here.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::figure::Figure;
use crate::published::{FIG12, FIG14, MEMCACHED, Other, REDIS, most_gained, most_saved};
use crate::record::{Computer, Record};
use crate::summary::{NATIVE, Summary};

/// What the claims compare with, which is not measured here.
const RIVALS: [&str; 2] = ["hvm-nested", "pvm"];
/// What the goal compares `cki` with, and by how much that may be above it.
const GOAL: (&str, f64) = ("runc", 1.03);

/// A claim of the artifact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claim {
    /// Its number there.
    pub number: &'static str,
    /// In words.
    pub claim: &'static str,
    /// What the paper says.
    pub paper: &'static str,
    /// What the artifact's own logs say.
    pub log: String,
    /// Whether it was reproduced. It is not, as long as none of [`RIVALS`] is measured.
    pub reproduced: bool,
    /// Of the figure that it is about: the least and the most instructions of `cki` by those of `native`.
    pub cki_by_native: Option<[f64; 2]>,
}

/// A bar that is above the goal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Missed {
    /// What was done.
    pub workload: String,
    /// How much of it.
    pub size: String,
    /// Instructions of `cki` by those of the rival.
    pub ratio: f64,
}

/// How near `cki` is to a container without a kernel of its own, on the bars of figures 12 and 14.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    /// What it is compared with.
    pub rival: &'static str,
    /// How many times its instructions `cki` may take.
    pub at_most: f64,
    /// Bars that both have.
    pub judged: usize,
    /// Those on which it takes more.
    pub missed: Vec<Missed>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Commits that were checked out.
    pub commits: BTreeSet<String>,
    /// Computers that emulated.
    pub computers: Vec<Computer>,
    /// The artifact's claims.
    pub claims: Vec<Claim>,
    /// The goal.
    pub goal: Goal,
    /// What was measured.
    pub figures: [Summary; 3],
}

impl Report {
    /// Of these records.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        let figures = Figure::ALL.map(|figure| Summary::of(figure, records));
        let mut computers = Vec::new();
        for computer in records.iter().filter_map(|one| one.origin.computer.clone()) {
            if !computers.contains(&computer) {
                computers.push(computer);
            }
        }
        Self {
            commits: records
                .iter()
                .filter_map(|record| record.origin.commit.clone())
                .collect(),
            computers,
            claims: claims(&figures),
            goal: goal(&figures),
            figures,
        }
    }

    /// For people. `picture` gives the name of a file with the picture of a figure in a size, where there is one.
    #[must_use]
    pub fn markdown(&self, picture: impl Fn(Figure, &str) -> Option<String>) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, &picture);
        text
    }

    fn write(
        &self,
        to: &mut String,
        picture: &impl Fn(Figure, &str) -> Option<String>,
    ) -> fmt::Result {
        writeln!(
            to,
            "# The paper's figures, measured again\n\n\
             Numbers are instructions that an emulated machine executed, kernels and monitor included. They are no \
             times: a processor takes longer for some instructions than for others, and what costs it time beside \
             instructions (exits of a virtual machine, walks of page tables in two dimensions) is not in them.\n"
        )?;
        let commits: Vec<&str> = self.commits.iter().map(String::as_str).collect();
        let computers: Vec<String> = self.computers.iter().map(ToString::to_string).collect();
        writeln!(to, "- commit: {}", list(&commits))?;
        writeln!(to, "- emulated on: {}", list(&computers))?;
        self.write_claims(to)?;
        self.goal.write(to)?;
        for figure in &self.figures {
            write_figure(to, figure, picture)?;
        }
        Ok(())
    }

    fn write_claims(&self, to: &mut String) -> fmt::Result {
        writeln!(
            to,
            "\n## The claims\n\n\
             | | claim | paper | artifact's log | here |\n|---|---|---:|---:|---|"
        )?;
        for claim in &self.claims {
            let here = match claim.cki_by_native {
                Some([least, most]) => {
                    format!("not reproduced; instructions {least:.3} to {most:.3} times native")
                }
                None => "not measured".to_owned(),
            };
            let Claim {
                number,
                claim,
                paper,
                log,
                ..
            } = claim;
            writeln!(to, "| {number} | {claim} | {paper} | {log} | {here} |")?;
        }
        writeln!(
            to,
            "\nNot reproduced: each of the claims compares with {}, and neither is measured here. The ratios to \
             `{NATIVE}` say what CKI costs beside a process, of which no claim speaks.",
            RIVALS.map(|name| format!("`{name}`")).join(" or ")
        )
    }
}

fn list(all: &[impl AsRef<str>]) -> String {
    let all: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
    match all.is_empty() {
        true => "not known".to_owned(),
        false => all.join(", "),
    }
}

/// The claims of the artifact, and why none of them can be judged by these numbers.
fn claims(figures: &[Summary; 3]) -> Vec<Claim> {
    let [hvm, pvm] = [Other::HvmNested, Other::Pvm];
    let saved = |other| {
        let (name, share) = most_saved(&FIG12, other);
        format!("{:.1} % ({name})", 100.0 * share)
    };
    let throughput = 1.0 / (1.0 - most_saved(&FIG14, pvm).1);
    let claim = |number, figure: usize, claim, paper, log| Claim {
        number,
        claim,
        paper,
        log,
        reproduced: false,
        cki_by_native: by_native(&figures[figure]),
    };
    vec![
        claim(
            "C1",
            0,
            "latency of memory-intensive programs, less than nested HVM's by up to",
            "70 %",
            saved(hvm),
        ),
        claim(
            "C1",
            0,
            "the same, less than PVM's by up to",
            "44 %",
            saved(pvm),
        ),
        claim(
            "C2",
            1,
            "throughput of SQLite, more than PVM's by up to",
            "24 %",
            format!("{:.1} %", 100.0 * (throughput - 1.0)),
        ),
        claim(
            "C3",
            2,
            "throughput of memcached, by nested HVM's, up to",
            "6.8",
            format!("{:.2}", most_gained(&MEMCACHED, hvm).1),
        ),
        claim(
            "C3",
            2,
            "throughput of Redis, by nested HVM's",
            "2.0",
            format!("up to {:.2}", most_gained(&REDIS, hvm).1),
        ),
    ]
}

/// The least and the most of `cki`'s bars.
fn by_native(summary: &Summary) -> Option<[f64; 2]> {
    let of_cki = summary.bars.iter().filter(|bar| bar.runtime == "cki");
    let mut ratios: Vec<f64> = of_cki.filter_map(|bar| bar.by_native).collect();
    ratios.sort_by(f64::total_cmp);
    Some([*ratios.first()?, *ratios.last()?])
}

/// Whether `cki` is near its rival, bar by bar.
fn goal([fig12, fig14, _]: &[Summary; 3]) -> Goal {
    let (rival, at_most) = GOAL;
    let bars = || fig12.bars.iter().chain(&fig14.bars);
    let mut goal = Goal {
        rival,
        at_most,
        judged: 0,
        missed: Vec::new(),
    };
    for bar in bars().filter(|bar| bar.runtime == "cki") {
        let other = bars().find(|other| {
            other.runtime == rival && (&other.workload, &other.size) == (&bar.workload, &bar.size)
        });
        let Some(other) = other else { continue };
        goal.judged += 1;
        let ratio = bar.instructions / other.instructions;
        if ratio > at_most {
            goal.missed.push(Missed {
                workload: bar.workload.clone(),
                size: bar.size.clone(),
                ratio,
            });
        }
    }
    goal
}

impl Goal {
    fn write(&self, to: &mut String) -> fmt::Result {
        let Self {
            rival,
            at_most,
            judged,
            missed,
        } = self;
        writeln!(
            to,
            "\n## The goal\n\n`cki` takes at most {at_most} times the instructions of `{rival}` on every bar of \
             figures 12 and 14.\n"
        )?;
        if *judged == 0 {
            return writeln!(
                to,
                "Not measured: no bar of `{rival}` is beside one of `cki`."
            );
        }
        if missed.is_empty() {
            return writeln!(to, "Met on each of {judged} bars.");
        }
        let missed: Vec<String> = missed
            .iter()
            .map(|one| format!("{} ({}): {:.3}", one.workload, one.size, one.ratio))
            .collect();
        let (count, missed) = (missed.len(), missed.join(", "));
        writeln!(to, "Missed on {count} of {judged} bars: {missed}.")
    }
}

fn write_figure(
    to: &mut String,
    summary: &Summary,
    picture: &impl Fn(Figure, &str) -> Option<String>,
) -> fmt::Result {
    let title = summary.figure.title();
    writeln!(to, "\n## {title}\n")?;
    if summary.bars.is_empty() {
        let name = summary.figure.name();
        return writeln!(to, "Not measured; `cki-build bench {name}` does.");
    }
    for size in summary.sizes() {
        if let Some(file) = picture(summary.figure, &size) {
            writeln!(to, "![{title}, {size}]({file})\n")?;
        }
    }
    writeln!(to, "{}", summary.table())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    fn report(records: &[Record]) -> String {
        Report::of(records).markdown(|figure, size| {
            (figure == Figure::Fig12).then(|| format!("{}-{size}.svg", figure.name()))
        })
    }

    #[test]
    fn a_report_says_what_is_not_reproduced() {
        let text = report(&[
            record("sph", "native", 1, 100e6),
            record("sph", "runc", 1, 101e6),
            record("sph", "cki", 1, 102e6),
        ]);
        for line in [
            "- commit: c0ffee",
            "| C1 | latency of memory-intensive programs, less than nested HVM's by up to | 70 % | 73.8 % \
             (fluidanimate) | not reproduced; instructions 1.020 to 1.020 times native |",
            "| C2 | throughput of SQLite, more than PVM's by up to | 24 % | 33.0 % | not measured |",
            "Met on each of 1 bars.",
            "![Figure 12: programs that need much memory, tiny](fig12-tiny.svg)",
            "Not measured; `cki-build bench fig14` does.",
        ] {
            assert!(
                text.contains(&format!("{line}\n")),
                "{line}\nis not in\n{text}"
            );
        }
    }

    #[test]
    fn a_bar_above_the_goal_is_named() {
        let text = report(&[
            record("sph", "runc", 1, 100e6),
            record("sph", "cki", 1, 104e6),
            record("dedup", "runc", 1, 100e6),
            record("dedup", "cki", 1, 100e6),
        ]);
        assert!(
            text.contains("Missed on 1 of 2 bars: sph (tiny): 1.040."),
            "{text}"
        );
    }

    #[test]
    fn a_goal_that_nobody_measured_is_not_met() {
        let text = report(&[record("sph", "cki", 1, 1e6)]);
        assert!(text.contains("Not measured: no bar of `runc`"), "{text}");
    }

    #[test]
    fn computers_are_named_once() {
        let mut records = [record("sph", "cki", 1, 1e6), record("sph", "cki", 2, 1e6)];
        for record in &mut records {
            record.origin.computer = Some(Computer {
                processor: "A Processor".to_owned(),
                processors: 2,
                kernel: "6.12".to_owned(),
            });
        }
        let text = report(&records);
        assert!(
            text.contains("\n- emulated on: A Processor (2 of them, Linux 6.12)\n"),
            "{text}"
        );
    }
}

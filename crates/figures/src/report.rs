// SPDX-License-Identifier: MIT OR Apache-2.0

//! A report in Markdown: what the paper claims beside what its artifact's logs say and what was measured here.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use crate::figure::Figure;
use crate::published::{FIG12, FIG14, MEMCACHED, Other, REDIS, most_gained, most_saved};
use crate::record::Record;
use crate::summary::{NATIVE, Summary};

/// What the claims compare with, which is not measured here.
const RIVALS: [&str; 2] = ["hvm-nested", "pvm"];
/// What the goal compares with, and by how much `cki` may be above it.
const GOAL: (&str, f64) = ("runc", 1.03);

/// The report of `records`. `picture` gives the name of a file with the picture of a figure in a size, where there is
/// one.
#[must_use]
pub fn markdown(records: &[Record], picture: impl Fn(Figure, &str) -> Option<String>) -> String {
    let summaries = Figure::ALL.map(|figure| Summary::of(figure, records));
    let mut text = "# The paper's figures, measured again\n".to_owned();
    let to = &mut text;
    let written = origin(to, records)
        .and_then(|()| claims(to, &summaries))
        .and_then(|()| goal(to, &summaries))
        .and_then(|()| {
            let mut all = summaries.iter();
            all.try_for_each(|summary| figure(to, summary, &picture))
        });
    // Writing to a string does not fail.
    let _ = written;
    text
}

fn origin(to: &mut String, records: &[Record]) -> fmt::Result {
    let commits: BTreeSet<&str> = records
        .iter()
        .filter_map(|record| record.origin.commit.as_deref())
        .collect();
    let computers: BTreeSet<String> = records
        .iter()
        .filter_map(|record| record.origin.computer.as_ref())
        .map(|one| {
            format!(
                "{} ({} of them, Linux {})",
                one.processor, one.processors, one.kernel
            )
        })
        .collect();
    let list = |all: Vec<&str>| match all.is_empty() {
        true => "not known".to_owned(),
        false => all.join(", "),
    };
    writeln!(
        to,
        "\nNumbers are instructions that an emulated machine executed, kernels and monitor included. They are no times: \
         a processor takes longer for some instructions than for others, and what costs it time beside instructions \
         (exits of a virtual machine, walks of page tables in two dimensions) is not in them.\n"
    )?;
    writeln!(to, "- commit: {}", list(commits.into_iter().collect()))?;
    let computers: Vec<&str> = computers.iter().map(String::as_str).collect();
    writeln!(to, "- emulated on: {}", list(computers))
}

/// The claims of the artifact, and why none of them can be judged by these numbers.
fn claims(to: &mut String, [fig12, fig14, fig16]: &[Summary; 3]) -> fmt::Result {
    let saved = |rows, other| {
        let (name, share) = most_saved(rows, other);
        format!("{:.1} % ({name})", 100.0 * share)
    };
    let gained = |rows, other| format!("{:.2}", most_gained(rows, other).1);
    let [hvm, pvm] = [Other::HvmNested, Other::Pvm];
    writeln!(
        to,
        "\n## The claims\n\n\
         | | claim | paper | artifact's log | here |\n|---|---|---:|---:|---|"
    )?;
    let rows = [
        (
            "C1",
            "latency of memory-intensive programs, less than nested HVM's by up to",
            "70 %".to_owned(),
            saved(&FIG12, hvm),
            fig12,
        ),
        (
            "C1",
            "the same, less than PVM's by up to",
            "44 %".to_owned(),
            saved(&FIG12, pvm),
            fig12,
        ),
        (
            "C2",
            "throughput of SQLite, more than PVM's by up to",
            "24 %".to_owned(),
            // A share of the time that is saved is a share of throughput that is gained.
            format!("{:.1} %", 100.0 * (most_gained_by_time(&FIG14, pvm) - 1.0)),
            fig14,
        ),
        (
            "C3",
            "throughput of memcached, by nested HVM's, up to",
            "6.8".to_owned(),
            gained(&MEMCACHED, hvm),
            fig16,
        ),
        (
            "C3",
            "throughput of Redis, by nested HVM's",
            "2.0".to_owned(),
            format!("up to {}", gained(&REDIS, hvm)),
            fig16,
        ),
    ];
    for (number, claim, paper, log, summary) in rows {
        let here = here(summary);
        writeln!(to, "| {number} | {claim} | {paper} | {log} | {here} |")?;
    }
    writeln!(
        to,
        "\nNot reproduced: each of the claims compares with {}, and neither is measured here. The ratios to `{NATIVE}` \
         say what CKI costs beside a process, of which no claim speaks.",
        RIVALS.map(|name| format!("`{name}`")).join(" or ")
    )
}

/// The largest ratio of the other's time to CKI's.
fn most_gained_by_time(rows: &[crate::published::Row], other: Other) -> f64 {
    1.0 / (1.0 - most_saved(rows, other).1)
}

/// What was measured of what a claim is about.
fn here(summary: &Summary) -> String {
    let mut ratios: Vec<f64> = summary
        .bars
        .iter()
        .filter(|bar| bar.runtime == "cki")
        .filter_map(|bar| bar.by_native)
        .collect();
    ratios.sort_by(f64::total_cmp);
    match (ratios.first(), ratios.last()) {
        (Some(least), Some(most)) => {
            format!("not reproduced; instructions {least:.3} to {most:.3} times native")
        }
        _ => "not measured".to_owned(),
    }
}

/// Whether `cki` is near `runc`, bar by bar.
fn goal(to: &mut String, [fig12, fig14, _]: &[Summary; 3]) -> fmt::Result {
    let (rival, limit) = GOAL;
    writeln!(
        to,
        "\n## The goal\n\n`cki` takes at most {limit} times the instructions of `{rival}` on every bar of figures 12 and \
         14.\n"
    )?;
    let bars = || fig12.bars.iter().chain(&fig14.bars);
    let mut judged = 0;
    let mut missed = Vec::new();
    for bar in bars().filter(|bar| bar.runtime == "cki") {
        let other = bars().find(|other| {
            other.runtime == rival && (&other.workload, &other.size) == (&bar.workload, &bar.size)
        });
        let Some(other) = other else { continue };
        judged += 1;
        let ratio = bar.instructions / other.instructions;
        if ratio > limit {
            missed.push(format!("{} ({}): {ratio:.3}", bar.workload, bar.size));
        }
    }
    match (judged, missed.is_empty()) {
        (0, _) => writeln!(
            to,
            "Not measured: no bar of `{rival}` is beside one of `cki`."
        ),
        (_, true) => writeln!(to, "Met on each of {judged} bars."),
        (_, false) => writeln!(
            to,
            "Missed on {} of {judged} bars: {}.",
            missed.len(),
            missed.join(", ")
        ),
    }
}

fn figure(
    to: &mut String,
    summary: &Summary,
    picture: impl Fn(Figure, &str) -> Option<String>,
) -> fmt::Result {
    writeln!(to, "\n## {}\n", summary.figure.title())?;
    if summary.bars.is_empty() {
        return writeln!(
            to,
            "Not measured; `cki-build bench {}` does.",
            summary.figure.name()
        );
    }
    for size in summary.sizes() {
        if let Some(file) = picture(summary.figure, &size) {
            writeln!(to, "![{}, {size}]({file})\n", summary.figure.title())?;
        }
    }
    writeln!(to, "{}", summary.table())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    fn report(records: &[Record]) -> String {
        markdown(records, |figure, size| {
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
            "| C1 | latency of memory-intensive programs, less than nested HVM's by up to | 70 % | 73.8 % (fluidanimate) \
             | not reproduced; instructions 1.020 to 1.020 times native |",
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
}

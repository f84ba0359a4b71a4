// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build bench fig12`: a figure of the paper on several runtimes, in instructions.

mod computer;
mod plan;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cki_figures::record::{self, Log};
use cki_figures::{Figure, Key, Origin, Record, Summary, chart};
use cki_session::Status;

use crate::commands::side::work;
use crate::context::Context;
use crate::error::Error;
use crate::measured::FigureArgs;
use crate::output::{print, print_json};
use plan::{Measurement, plan};

/// What measurements are made with.
const OUTPUTS: [&str; 4] = ["cki-host", "cki-qemu", "cki-runtime", "cki-workload"];

pub(super) fn measure(
    context: &Context,
    figure: Figure,
    args: &FigureArgs,
) -> Result<Status, Error> {
    let origin = origin(context)?;
    make(&args.log)?;
    let path = args.log.join(format!("{}.jsonl", figure.name()));
    let all: Vec<(Measurement, Key)> = plan(args).into_iter().map(|one| (one, one.key())).collect();
    let mut records = record::read(&path)?;
    records.retain(|record| {
        record.origin.outputs == origin.outputs && all.iter().any(|(_, key)| *key == record.key)
    });
    let is_done = |key: &Key| records.iter().any(|record| record.key == *key);
    let left: Vec<_> = all.into_iter().filter(|(_, key)| !is_done(key)).collect();
    let mut log = Log::open(&path)?;
    let begin = Instant::now();
    for (done, (one, key)) in left.iter().enumerate() {
        say(context, key, done, left.len(), begin.elapsed());
        let took = work(context, one.runtime.runtime(), one.workload, one.size)?;
        let record = Record {
            key: key.clone(),
            took,
            origin: origin.clone(),
        };
        log.add(&record)?;
        records.push(record);
    }
    // As they are planned, not as they were measured.
    records.sort_by_key(|record| place(args, &record.key));
    let summary = Summary::of(figure, &records);
    let pictures = draw(&summary, &args.plots)?;
    if context.global.json {
        print_json(&summary)?;
    } else {
        print(&summary.table())?;
    }
    if !context.global.quiet {
        for picture in pictures {
            crate::commands::run::say(&format!("drawn: {}", picture.display()));
        }
    }
    Ok(Status::OK)
}

fn origin(context: &Context) -> Result<Origin, Error> {
    let outputs = context.outputs(&OUTPUTS)?;
    let state = context.checkout.state()?;
    let outputs: BTreeMap<_, _> = outputs
        .into_iter()
        .map(|(name, target)| (name, target.out))
        .collect();
    Ok(Origin {
        commit: state.and_then(|state| state.head),
        outputs,
        computer: Some(computer::here()),
    })
}

/// Where the key's measurement is in the plan.
fn place(args: &FigureArgs, key: &Key) -> usize {
    let place = plan(args).iter().position(|one| one.key() == *key);
    place.unwrap_or(usize::MAX)
}

fn make(directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(|source| Error::Io {
        path: directory.to_owned(),
        source,
    })
}

/// Where the picture of a figure in a size is.
pub(super) fn picture(plots: &Path, figure: Figure, size: &str, kind: &str) -> PathBuf {
    plots.join(format!("{}-{size}.{kind}", figure.name()))
}

/// Draws a picture for each size; where they are.
fn draw(summary: &Summary, plots: &Path) -> Result<Vec<PathBuf>, Error> {
    make(plots)?;
    let mut drawn = Vec::new();
    for size in summary.sizes() {
        let svg = chart::svg(summary, &size)?.into_bytes();
        for (kind, bytes) in [("svg", svg), ("pdf", chart::pdf(summary, &size)?)] {
            let path = picture(plots, summary.figure, &size, kind);
            fs::write(&path, bytes).map_err(|source| Error::Io {
                path: path.clone(),
                source,
            })?;
            drawn.push(path);
        }
    }
    Ok(drawn)
}

/// What comes now, and how long it may take until all is done: as long for each as so far.
fn say(context: &Context, key: &Key, done: usize, all: usize, elapsed: Duration) {
    if context.global.quiet {
        return;
    }
    let left = match estimate(done, all, elapsed) {
        Some(left) => format!("; about {} s are left", left.as_secs()),
        None => String::new(),
    };
    crate::commands::run::say(&format!(
        "{} of {all}: {}, {}, {}, round {}{left}",
        done + 1,
        key.workload,
        key.size,
        key.runtime,
        key.round
    ));
}

fn estimate(done: usize, all: usize, elapsed: Duration) -> Option<Duration> {
    let (done, all) = (u32::try_from(done).ok()?, u32::try_from(all).ok()?);
    Some(elapsed.checked_div(done)? * (all - done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_takes_as_long_as_what_was_done() {
        let estimate = |done, all, seconds| estimate(done, all, Duration::from_secs(seconds));
        assert_eq!(estimate(0, 10, 0), None);
        assert_eq!(estimate(2, 10, 30), Some(Duration::from_secs(120)));
        assert_eq!(estimate(10, 10, 30), Some(Duration::ZERO));
    }

    #[test]
    fn a_picture_is_drawn_for_each_size_in_both_forms() {
        let line = |size: &str| {
            format!(
                r#"{{"workload":"sph","size":"{size}","runtime":"cki","round":1,"instructions":1.0,"steps":{{}},"emulator_seconds":1.0,"sum":"0","commit":null,"outputs":{{}}}}"#
            )
        };
        let records =
            ["tiny", "small"].map(|size| serde_json::from_str(&line(size)).expect("JSON"));
        let dir = tempfile::tempdir().expect("a directory");
        let plots = dir.path().join("plots");
        let drawn = draw(&Summary::of(Figure::Fig12, &records), &plots).expect("drawn");
        let names = [
            "fig12-tiny.svg",
            "fig12-tiny.pdf",
            "fig12-small.svg",
            "fig12-small.pdf",
        ];
        assert_eq!(drawn, names.map(|name| plots.join(name)));
        for file in drawn {
            assert!(
                fs::metadata(&file).expect("a file").len() > 1000,
                "{file:?}"
            );
        }
    }
}

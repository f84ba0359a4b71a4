// SPDX-License-Identifier: MIT OR Apache-2.0

//! A figure of the paper on several runtimes, in instructions.

mod computer;
mod plan;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cki_figures::record::{self, Log};
use cki_figures::{Figure, Key, Origin, Record, Refused, Summary, Took, chart};

use crate::args::{FigureRuntime, MeasureArgs};
use crate::error::Error;
use crate::lab::Lab;
use crate::side::{self, work};
use crate::work::word;
pub use plan::Choice;
use plan::{Job, Measurement, plan};
use server::serve;

/// What measurements are made with.
const OUTPUTS: [&str; 3] = ["cki-host", "cki-qemu", "cki-workload"];

/// Measures what is not measured yet, and draws the pictures.
///
/// # Errors
/// When a measurement fails; records of those before it stay.
pub fn records(lab: &dyn Lab, args: &MeasureArgs, choice: &Choice<'_>) -> Result<Summary, Error> {
    let figure = choice.figure;
    let (args, refused) = with_bars(figure, args)?;
    let args = &args;
    for one in &refused {
        lab.say(&missing(figure, one));
    }
    let planned = plan(choice, args)?;
    make(&args.log)?;
    let path = args.log.join(format!("{}.jsonl", figure.name()));
    let mut all: Vec<(Measurement, Origin)> = Vec::new();
    let origins = origins(lab, figure, &args.runtimes)?;
    for one in planned {
        let origin = origins.iter().find(|(of, _)| *of == one.runtime);
        all.extend(origin.map(|(_, origin)| (one, origin.clone())));
    }
    let mut records = record::read(&path)?;
    records.retain(|record| all.iter().any(|one| is_of(record, one)));
    let is_done = |one| records.iter().any(|record| is_of(record, one));
    let left: Vec<_> = all.iter().filter(|one| !is_done(one)).collect();
    let mut log = Log::open(&path)?;
    let begin = Instant::now();
    for (done, (one, origin)) in left.iter().enumerate() {
        let key = one.key();
        say(lab, &key, done, left.len(), begin.elapsed());
        let record = Record {
            key,
            took: take(lab, *one)?,
            origin: origin.clone(),
        };
        log.add(&record)?;
        records.push(record);
    }
    // As they are planned, not as they were measured.
    let place = |record: &Record| all.iter().position(|one| is_of(record, one));
    records.sort_by_key(place);
    let mut summary = Summary::of(figure, &records);
    summary.refused = refused;
    for picture in draw(&summary, &args.plots)? {
        lab.say(&format!("drawn: {}", picture.display()));
    }
    Ok(summary)
}

/// The options with the runtimes of which the figure has bars, and those of which it has none.
fn with_bars(figure: Figure, args: &MeasureArgs) -> Result<(MeasureArgs, Vec<Refused>), Error> {
    let mut args = args.clone();
    let mut refused = Vec::new();
    if figure == Figure::Fig16 {
        args.runtimes.retain(|runtime| {
            let why = server::why_not(*runtime);
            refused.extend(why.map(|why| Refused {
                runtime: word(runtime),
                why: why.to_owned(),
            }));
            why.is_none()
        });
    }
    if args.runtimes.is_empty() {
        let all: Vec<_> = refused.iter().map(|one| missing(figure, one)).collect();
        return Err(Error::Failed(all.join("\n")));
    }
    Ok((args, refused))
}

fn missing(figure: Figure, Refused { runtime, why }: &Refused) -> String {
    format!("{} has no {runtime}: {why}", figure.name())
}

/// Whether the record is of this measurement, made with the same outputs.
fn is_of(record: &Record, (one, origin): &(Measurement, Origin)) -> bool {
    record.key == one.key() && record.origin.outputs == origin.outputs
}

/// Measures.
fn take(lab: &dyn Lab, one: Measurement) -> Result<Took, Error> {
    match one.job {
        Job::Work(workload) => work(lab, &*side::of(one.runtime), workload, one.size),
        Job::Serve(server, clients) => serve(lab, one.runtime, server, clients, one.size),
    }
}

/// What measurements on each runtime are made with.
fn origins(
    lab: &dyn Lab,
    figure: Figure,
    runtimes: &[FigureRuntime],
) -> Result<Vec<(FigureRuntime, Origin)>, Error> {
    let commit = lab.commit()?;
    let origin = |&runtime: &FigureRuntime| {
        let side = side::of(runtime);
        let (more, mut outputs) = match figure {
            Figure::Fig12 | Figure::Fig14 => (side.outputs(), side.images(lab)?),
            // Each of them is a host of containers.
            Figure::Fig16 => (
                &["cki-runtime"][..],
                side::layers(lab.layers_of(&server::PACKAGES)?),
            ),
        };
        let built = lab.outputs(&[&OUTPUTS, more].concat())?;
        outputs.extend(built);
        let origin = Origin {
            commit: commit.clone(),
            outputs,
            computer: Some(computer::here()),
        };
        Ok((runtime, origin))
    };
    runtimes.iter().map(origin).collect()
}

fn make(directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(|source| Error::Io {
        path: directory.to_owned(),
        source,
    })
}

/// Where the picture of a figure in a size is.
#[must_use]
pub fn picture(plots: &Path, figure: Figure, size: &str, kind: &str) -> PathBuf {
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
fn say(lab: &dyn Lab, key: &Key, done: usize, all: usize, elapsed: Duration) {
    let left = match estimate(done, all, elapsed) {
        Some(left) => format!("; about {} s are left", left.as_secs()),
        None => String::new(),
    };
    let clients = key
        .clients
        .map_or(String::new(), |n| format!(", clients: {n}"));
    lab.say(&format!(
        "{} of {all}: {}{clients}, {}, {}, round {}{left}",
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
    fn a_runtime_without_bars_is_named_with_the_reason() {
        let args = |runtimes: &[FigureRuntime]| MeasureArgs {
            runtimes: runtimes.to_vec(),
            sizes: Vec::new(),
            repeat: 1,
            log: "log".into(),
            plots: "plots".into(),
        };
        let asked = args(&[FigureRuntime::Native, FigureRuntime::Uml]);
        let (kept, refused) = with_bars(Figure::Fig16, &asked).expect("one is left");
        assert_eq!(kept.runtimes, [FigureRuntime::Native]);
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].runtime, "uml");
        let (kept, refused) = with_bars(Figure::Fig12, &asked).expect("both");
        assert_eq!((kept.runtimes.len(), refused.len()), (2, 0));
        let error = with_bars(Figure::Fig16, &args(&[FigureRuntime::Gvisor]));
        let error = error.expect_err("none is left").to_string();
        assert!(error.starts_with("fig16 has no gvisor: "), "{error}");
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

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build bench fig12`: the kinds of work of the paper's figure 12 on several runtimes, in instructions.

mod record;
mod summary;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use record::{Key, Origin, Record, finished};
use summary::Summary;

use crate::commands::side::work;
use crate::compared::{FIG12, word};
use crate::context::Context;
use crate::error::Error;
use crate::measured::Fig12;
use crate::output::{print, print_json};
use cki_session::Status;

/// What measurements are made with.
const OUTPUTS: [&str; 4] = ["cki-host", "cki-qemu", "cki-runtime", "cki-workload"];

/// What is to be measured, in an order in which nothing that changes with time falls on one runtime alone: each round
/// has everything once, and every other round begins with the last runtime.
fn plan(args: &Fig12) -> Vec<Key> {
    let mut keys = Vec::new();
    for round in 1..=args.repeat {
        let mut runtimes = args.runtimes.clone();
        if round % 2 == 0 {
            runtimes.reverse();
        }
        for &size in &args.sizes {
            for workload in FIG12 {
                for &runtime in &runtimes {
                    keys.push(Key {
                        workload,
                        size,
                        runtime,
                        round,
                    });
                }
            }
        }
    }
    keys
}

pub(super) fn fig12(context: &Context, args: &Fig12) -> Result<Status, Error> {
    let outputs = context.outputs(&OUTPUTS)?;
    let state = context.checkout.state()?;
    let origin = Origin {
        commit: state.and_then(|state| state.head),
        outputs: outputs
            .into_iter()
            .map(|(name, target)| (name, target.out))
            .collect(),
    };
    let failed = |source| Error::Io {
        path: args.log.clone(),
        source,
    };
    fs::create_dir_all(&args.log).map_err(failed)?;
    let path = args.log.join("fig12.jsonl");
    let mut records = finished(&path, &origin)?;
    let plan = plan(args);
    let left: Vec<&Key> = plan
        .iter()
        .filter(|key| !records.iter().any(|record| record.key == **key))
        .collect();
    let mut file = open(&path)?;
    let begin = Instant::now();
    for (done, key) in left.iter().enumerate() {
        say(context, key, done, left.len(), begin.elapsed())?;
        let took = work(context, key.runtime.runtime(), key.workload, key.size)?;
        let record = Record {
            key: **key,
            took,
            origin: origin.clone(),
        };
        append(&mut file, &path, &record)?;
        records.push(record);
    }
    records.retain(|record| plan.contains(&record.key));
    let summary = Summary::of(&records, &args.sizes, &args.runtimes);
    if context.global.json {
        print_json(&summary)?;
    } else {
        print(&summary.table())?;
    }
    Ok(Status::OK)
}

/// What comes now, and how long it may take until all is done: as long for each as so far.
fn say(
    context: &Context,
    key: &Key,
    done: usize,
    all: usize,
    elapsed: Duration,
) -> Result<(), Error> {
    if context.global.quiet {
        return Ok(());
    }
    let Key {
        workload,
        size,
        runtime,
        round,
    } = key;
    let names = [word(workload), word(size), word(runtime)].join(", ");
    let left = match estimate(done, all, elapsed) {
        Some(left) => format!("; about {} s are left", left.as_secs()),
        None => String::new(),
    };
    crate::commands::run::say(&format!(
        "{} of {all}: {names}, round {round}{left}",
        done + 1
    ));
    Ok(())
}

fn estimate(done: usize, all: usize, elapsed: Duration) -> Option<Duration> {
    let (done, all) = (u32::try_from(done).ok()?, u32::try_from(all).ok()?);
    Some(elapsed.checked_div(done)? * (all - done))
}

fn open(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })
}

fn append(file: &mut File, path: &Path, record: &Record) -> Result<(), Error> {
    let failed = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let mut line = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    file.write_all(&line).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compared::Size;
    use crate::measured::FigureRuntime;

    fn args() -> Fig12 {
        Fig12 {
            runtimes: vec![FigureRuntime::Native, FigureRuntime::Cki],
            sizes: vec![Size::Tiny],
            repeat: 2,
            log: "log".into(),
        }
    }

    #[test]
    fn runtimes_take_turns_and_each_begins_a_round() {
        let keys = plan(&args());
        assert_eq!(keys.len(), 6 * 2 * 2);
        let order: Vec<_> = keys.iter().map(|key| word(&key.runtime)).collect();
        assert_eq!(order[..4], ["native", "cki", "native", "cki"]);
        assert_eq!(order[12..16], ["cki", "native", "cki", "native"]);
        assert_eq!(keys[0].workload, keys[1].workload);
    }

    #[test]
    fn what_is_left_takes_as_long_as_what_was_done() {
        let estimate = |done, all, seconds| estimate(done, all, Duration::from_secs(seconds));
        assert_eq!(estimate(0, 10, 0), None);
        assert_eq!(estimate(2, 10, 30), Some(Duration::from_secs(120)));
        assert_eq!(estimate(10, 10, 30), Some(Duration::ZERO));
    }
}

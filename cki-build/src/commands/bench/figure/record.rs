// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was measured, a line for each, in a file that later runs go on with.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::commands::side::Took;
use crate::compared::{Size, Workload};
use crate::error::Error;
use crate::measured::FigureRuntime;

/// Which measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// What was done.
    pub workload: Workload,
    /// How much of it.
    pub size: Size,
    /// On what.
    pub runtime: FigureRuntime,
    /// The how manieth time, from 1.
    pub round: u32,
}

/// What it was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The commit that is checked out, if git knows.
    pub commit: Option<String>,
    /// Paths in the Nix store, whose names are hashes of all that they are made of.
    pub outputs: BTreeMap<String, PathBuf>,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Which.
    #[serde(flatten)]
    pub key: Key,
    /// What came out.
    #[serde(flatten)]
    pub took: Took,
    /// What it was made with.
    #[serde(flatten)]
    pub origin: Origin,
}

/// The records of the file at `path` that were made with these outputs, whatever the commit. A last line that an
/// interrupted run has left is none.
///
/// # Errors
/// If the file cannot be read, or another line is no record.
pub fn finished(path: &Path, origin: &Origin) -> Result<Vec<Record>, Error> {
    let failed = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    if whole.len() + 1 < text.len() {
        // What follows begins a line of its own.
        fs::write(path, format!("{whole}\n").trim_start_matches('\n')).map_err(failed)?;
    }
    let records = whole.lines().map(serde_json::from_str::<Record>);
    let records: Result<Vec<Record>, _> = records.collect();
    let mut records = records.map_err(|error| failed(error.into()))?;
    records.retain(|record| record.origin.outputs == origin.outputs);
    Ok(records)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn record(runtime: FigureRuntime, round: u32, instructions: f64) -> Record {
        Record {
            key: Key {
                workload: Workload::Sph,
                size: Size::Tiny,
                runtime,
                round,
            },
            took: Took {
                instructions,
                steps: BTreeMap::new(),
                emulator_seconds: 1.5,
                sum: "12ab".to_owned(),
            },
            origin: Origin {
                commit: Some("c0ffee".to_owned()),
                outputs: [("cki-host".to_owned(), "/nix/store/a".into())].into(),
            },
        }
    }

    #[test]
    fn a_file_gives_the_records_of_the_same_outputs_and_no_broken_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("fig12.jsonl");
        let first = record(FigureRuntime::Native, 1, 5e8);
        let second = record(FigureRuntime::Cki, 1, 5.1e8);
        assert_eq!(finished(&path, &first.origin).expect("no file"), []);
        let mut other = second.clone();
        other
            .origin
            .outputs
            .insert("cki-qemu".to_owned(), "/b".into());
        let lines = [&first, &other, &second].map(|one| serde_json::to_string(one).expect("JSON"));
        let whole = lines.join("\n") + "\n";
        fs::write(&path, format!("{whole}{}", &lines[0][..20])).expect("written");
        let mut origin = first.origin.clone();
        origin.commit = None;
        let read = finished(&path, &origin).expect("records");
        assert_eq!(read, [first, second]);
        assert_eq!(fs::read_to_string(&path).expect("read"), whole);
        // Nor is a file with nothing else.
        fs::write(&path, &lines[0][..20]).expect("written");
        assert_eq!(finished(&path, &origin).expect("records"), []);
        assert_eq!(fs::read_to_string(&path).expect("read"), "");
    }

    #[test]
    fn a_line_that_is_no_record_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("fig12.jsonl");
        fs::write(&path, "{}\n").expect("written");
        let origin = record(FigureRuntime::Cki, 1, 1.0).origin;
        assert!(finished(&path, &origin).is_err());
    }
}

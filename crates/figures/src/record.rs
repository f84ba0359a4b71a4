// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was measured: a line of JSON for each measurement, in a file that later runs go on with.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Which measurement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// What was done, or which server was asked.
    pub workload: String,
    /// How much of it.
    pub size: String,
    /// On what.
    pub runtime: String,
    /// Of a server: how many clients asked it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,
    /// Which time this is, from 1.
    pub round: u32,
}

/// How much it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Took {
    /// From the begin of the work to its end.
    pub instructions: f64,
    /// Of parts that have counts of their own.
    pub steps: BTreeMap<String, f64>,
    /// How many of what was done, by the names that the work has for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// From the start of the program to its first output, which comes when the work is done: by this computer's clock.
    pub emulator_seconds: f64,
    /// Of the result, which is the known one.
    pub sum: String,
}

/// The computer that emulated the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computer {
    /// The name that its processor gives itself.
    pub processor: String,
    /// How many of them there are.
    pub processors: usize,
    /// Its kernel's version.
    pub kernel: String,
}

impl Display for Computer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            processors,
            kernel,
        } = self;
        write!(to, "{processor} ({processors} of them, Linux {kernel})")
    }
}

/// What a measurement was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The commit that is checked out, if git knows.
    pub commit: Option<String>,
    /// Files in the Nix store and layers of images, whose names are hashes of all that they are made of.
    pub outputs: BTreeMap<String, PathBuf>,
    /// Where; records from before 27 November 2026 do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computer: Option<Computer>,
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

/// All records of the file at `path`, none when it is not there. A last line that an interrupted run has left
/// unfinished is taken out of the file, so that what follows begins a line of its own.
///
/// # Errors
/// If the file cannot be read, or another line is no record.
pub fn read(path: &Path) -> Result<Vec<Record>, Error> {
    let failed = Error::file(path);
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    if whole.len() < text.len() {
        fs::write(path, whole).map_err(failed)?;
    }
    let record = |(number, line)| {
        serde_json::from_str(line).map_err(|source| Error::Line {
            path: path.to_owned(),
            line: number,
            source,
        })
    };
    (1..).zip(whole.lines()).map(record).collect()
}

/// A file that records are added to.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens it, and makes it when it is not there.
    ///
    /// # Errors
    /// If that cannot be.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            file: file.map_err(Error::file(path))?,
            path: path.to_owned(),
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, record: &Record) -> Result<(), Error> {
        let failed = Error::file(&self.path);
        let mut line = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record(workload: &str, runtime: &str, round: u32, instructions: f64) -> Record {
        Record {
            key: Key {
                workload: workload.to_owned(),
                size: "tiny".to_owned(),
                runtime: runtime.to_owned(),
                clients: None,
                round,
            },
            took: Took {
                instructions,
                steps: BTreeMap::new(),
                counts: BTreeMap::new(),
                emulator_seconds: 1.5,
                sum: "12ab".to_owned(),
            },
            origin: Origin {
                commit: Some("c0ffee".to_owned()),
                outputs: [("cki-host".to_owned(), "/nix/store/a".into())].into(),
                computer: None,
            },
        }
    }

    #[test]
    fn records_come_back_as_they_were_added_and_a_broken_last_line_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("fig12.jsonl");
        assert_eq!(read(&path).expect("no file"), []);
        let mut records = [
            record("sph", "native", 1, 5e8),
            record("sph", "cki", 1, 5.1e8),
        ];
        records[1].key.clients = Some(12);
        records[1].took.counts.insert("requests".to_owned(), 7);
        records[1].origin.computer = Some(Computer {
            processor: "a processor".to_owned(),
            processors: 2,
            kernel: "6.12".to_owned(),
        });
        let mut log = Log::open(&path).expect("a file");
        for record in &records {
            log.add(record).expect("written");
        }
        let whole = fs::read_to_string(&path).expect("text");
        fs::write(&path, format!("{whole}{}", &whole[..20])).expect("written");
        assert_eq!(read(&path).expect("records"), records);
        assert_eq!(fs::read_to_string(&path).expect("text"), whole);
        // Nor is a file with nothing else.
        fs::write(&path, &whole[..20]).expect("written");
        assert_eq!(read(&path).expect("records"), []);
        assert_eq!(fs::read_to_string(&path).expect("text"), "");
    }

    #[test]
    fn a_record_of_the_first_days_can_be_read() {
        let line = r#"{"workload":"sph","size":"tiny","runtime":"cki","round":1,"instructions":1.0,"steps":{},"emulator_seconds":1.0,"sum":"0","commit":null,"outputs":{}}"#;
        let record: Record = serde_json::from_str(line).expect("a record");
        assert_eq!(record.key.clients, None);
        assert_eq!(record.origin.computer, None);
    }

    #[test]
    fn a_line_that_is_no_record_is_told_by_its_number() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("fig12.jsonl");
        let good = serde_json::to_string(&record("sph", "cki", 1, 1.0)).expect("JSON");
        fs::write(&path, format!("{good}\n{{}}\n")).expect("written");
        let error = read(&path).expect_err("no record").to_string();
        assert!(error.contains("fig12.jsonl, line 2: "), "{error}");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is made of records, without a machine.

use std::path::Path;

use cki_figures::{Comparison, Figure, Record, Report, record};

use crate::error::Error;
use crate::figure::picture;

/// The records of a file, or of all figures in a folder.
fn read(path: &Path) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    if path.is_dir() {
        for figure in Figure::ALL {
            records.extend(record::read(
                &path.join(format!("{}.jsonl", figure.name())),
            )?);
        }
    } else {
        records = record::read(path)?;
    }
    if records.is_empty() {
        return Err(cki_figures::Error::NoRecords(path.to_owned()).into());
    }
    Ok(records)
}

/// The bars that two files, or folders, have in common.
///
/// # Errors
/// When there are none.
pub fn compare(first: &Path, second: &Path) -> Result<Comparison, Error> {
    let comparison = Comparison::of(&read(first)?, &read(second)?);
    if comparison.pairs.is_empty() {
        let [first, second] = [first, second].map(ToOwned::to_owned);
        return Err(cki_figures::Error::NothingInCommon(first, second).into());
    }
    Ok(comparison)
}

/// What the paper claims beside what the records in `log` say.
///
/// # Errors
/// When there are no records.
pub fn report(log: &Path) -> Result<Report, Error> {
    Ok(Report::of(&read(log)?))
}

/// The report as Markdown, with those pictures in `plots` that are there.
#[must_use]
pub fn markdown(report: &Report, plots: &Path) -> String {
    let there = |figure: Figure, size: &str| {
        let file = picture(plots, figure, size, "svg");
        file.exists().then(|| file.display().to_string())
    };
    report.markdown(there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_is_the_records_of_all_figures() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = read(dir.path()).expect_err("nothing is there").to_string();
        assert!(error.contains("has no records"), "{error}");
        let line = r#"{"workload":"sph","size":"tiny","runtime":"cki","round":1,"instructions":1.0,"steps":{},"emulator_seconds":1.0,"sum":"0","commit":null,"outputs":{}}"#;
        for figure in ["fig12", "fig14", "other"] {
            fs::write(
                dir.path().join(format!("{figure}.jsonl")),
                format!("{line}\n"),
            )
            .expect("written");
        }
        assert_eq!(read(dir.path()).expect("records").len(), 2);
        assert_eq!(
            read(&dir.path().join("other.jsonl"))
                .expect("records")
                .len(),
            1
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build bench compare` and `bench report`: what is made of records, without a machine.

use std::path::Path;

use cki_figures::{Comparison, Figure, Record, Report, record};
use cki_session::Status;

use super::figure::picture;
use crate::context::Context;
use crate::error::Error;
use crate::measured::{CompareArgs, ReportArgs};
use crate::output::{print, print_json};

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

pub(super) fn compare(context: &Context, args: &CompareArgs) -> Result<Status, Error> {
    let comparison = Comparison::of(&read(&args.first)?, &read(&args.second)?);
    if comparison.pairs.is_empty() {
        let [first, second] = [&args.first, &args.second].map(ToOwned::to_owned);
        return Err(cki_figures::Error::NothingInCommon(first, second).into());
    }
    let slower: Vec<_> = comparison.slower(args.within).collect();
    if context.global.json {
        print_json(&serde_json::json!({
            "within_percent": args.within,
            "pairs": comparison.pairs,
            "alone": comparison.alone,
            "above": slower,
        }))?;
    } else {
        print(&comparison.table())?;
    }
    for pair in &slower {
        crate::commands::run::say(&format!(
            "{} ({}) on {} takes {:.3} times as many instructions, more than {} % above",
            pair.workload, pair.size, pair.runtime, pair.ratio, args.within
        ));
    }
    Ok(if slower.is_empty() {
        Status::OK
    } else {
        Status::NO
    })
}

pub(super) fn report(context: &Context, args: &ReportArgs) -> Result<Status, Error> {
    let report = Report::of(&read(&args.log)?);
    if context.global.json {
        print_json(&report)?;
        return Ok(Status::OK);
    }
    let there = |figure: Figure, size: &str| {
        let file = picture(&args.plots, figure, size, "svg");
        file.exists().then(|| file.display().to_string())
    };
    print(report.markdown(there).trim_end())?;
    Ok(Status::OK)
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

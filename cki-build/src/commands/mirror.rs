// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build mirror`

use std::path::Path;

use crate::context::Context;
use crate::error::Error;
use crate::inputs::{manifests, open, read_lock};
use crate::output::{print, print_json};
use cki_inputs::cargo::Cargo;
use cki_inputs::own_mirror::{MirrorReport, fill};
use cki_session::Status;
use cki_wording::units::human_bytes;

pub(super) fn mirror(context: &Context, directory: &Path) -> Result<Status, Error> {
    let lock = read_lock(&context.checkout)?;
    let step = context.progress.step("looking for the pinned files");
    let inputs = open(context, step)?;
    let manifests = manifests(&context.checkout);
    let report = fill(&inputs, &lock, &Cargo::default(), &manifests, directory)?;
    drop(inputs);
    if context.global.json {
        print_json(&report)?;
    } else {
        lines(&report).iter().try_for_each(|line| print(line))?;
        print(&summary(&report, directory))?;
    }
    Ok(Status::OK)
}

fn lines(report: &MirrorReport) -> Vec<String> {
    let mended = report
        .mended
        .iter()
        .map(|path| format!("was wrong: {path}"));
    let missing = report.missing.iter().map(|path| {
        format!("not there: {path}, which the archive no longer has; `lock --check` compares with its current one")
    });
    mended.chain(missing).collect()
}

fn summary(report: &MirrorReport, directory: &Path) -> String {
    format!(
        "{}: {} files, {}; {} were there, {} downloaded",
        directory.display(),
        report.files,
        human_bytes(report.bytes),
        report.present,
        human_bytes(report.fetch.downloaded_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_was_wrong_is_told_before_the_sum() {
        let report = MirrorReport {
            files: 3,
            bytes: 2048,
            present: 1,
            mended: vec!["pool/a.deb".into()],
            missing: vec!["dists/stable/InRelease".into()],
            ..MirrorReport::default()
        };
        let lines = lines(&report);
        assert_eq!(lines[0], "was wrong: pool/a.deb");
        assert!(lines[1].starts_with("not there: dists/stable/InRelease"));
        let summary = summary(&report, Path::new("/m"));
        assert!(
            summary.starts_with("/m: 3 files, 2.00 KiB; 1 were there"),
            "{summary}"
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build lock`

use serde::Serialize;

use crate::cli::Lock;
use crate::context::Context;
use crate::error::Error;
use crate::inputs::{LOCK, REQUEST, open, read_lock};
use crate::output::{print, print_json};
use cki_inputs::InputsError;
use cki_inputs::lock_json::LockFile;
use cki_inputs::locking::{self, CheckReport, LockReport, Mode, ReachReport, SignedReport};
use cki_inputs::request::Request;
use cki_nix::setup;
use cki_session::Status;
use cki_wording::units::human_bytes;

pub(super) fn lock(context: &Context, args: &Lock) -> Result<Status, Error> {
    let dir = &context.checkout.dir;
    let request = Request::read(&dir.join(REQUEST)).map_err(InputsError::from)?;
    let path = dir.join(LOCK);
    if args.check {
        let lock = read_lock(&context.checkout)?;
        let checked = Checked::new(context, &request, &lock, args.offline)?;
        if context.global.json {
            print_json(&checked)?;
        } else {
            checked.lines().iter().try_for_each(|line| print(line))?;
        }
        return Ok(if checked.good { Status::OK } else { Status::NO });
    }
    setup::ensure_nix(&context.nix, context.progress)?;
    let old = if path.exists() {
        Some(read_lock(&context.checkout)?)
    } else {
        None
    };
    let mode = if args.update {
        Mode::Update
    } else {
        Mode::Keep
    };
    let step = context.progress.short_step("resolving the request");
    let mut inputs = open(context, step)?;
    inputs.accept_expired = args.accept_expired;
    let (new, report) = locking::resolve(&inputs, &request, old.as_ref(), mode)?;
    drop(inputs);
    if report.changed {
        new.write(&path).map_err(InputsError::from)?;
    }
    if context.global.json {
        print_json(&report)?;
    } else {
        describe(&report)?;
    }
    Ok(Status::OK)
}

/// What `--check` finds.
#[derive(Debug, Serialize)]
struct Checked {
    /// Whether there is nothing to complain about.
    good: bool,
    /// Request and lock file, compared.
    #[serde(flatten)]
    compared: CheckReport,
    /// Lock file and signed indexes.
    signed: Option<SignedReport>,
    /// Where the files come from.
    reach: Option<ReachReport>,
}

impl Checked {
    fn new(
        context: &Context,
        request: &Request,
        lock: &LockFile,
        offline: bool,
    ) -> Result<Self, Error> {
        let compared = locking::check(request, lock);
        let (mut signed, mut reach) = (None, None);
        if !offline {
            let step = context.progress.short_step("checking the lock file");
            let inputs = open(context, step)?;
            signed = Some(locking::signed(&inputs, lock)?);
            reach = Some(locking::reach(&inputs, lock)?);
        }
        Ok(Self::of(compared, signed, reach))
    }

    fn of(compared: CheckReport, signed: Option<SignedReport>, reach: Option<ReachReport>) -> Self {
        let good = compared.consistent
            && signed.as_ref().is_none_or(|s| s.problems.is_empty())
            && reach
                .as_ref()
                .is_none_or(|r| r.gone.is_empty() && r.unclear.is_empty());
        Self {
            good,
            compared,
            signed,
            reach,
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = self.compared.problems.clone();
        if self.compared.consistent {
            lines.push("the lock file has everything that is requested".into());
        }
        if let Some(signed) = &self.signed {
            lines.extend(signed.notes.iter().map(|note| format!("note: {note}")));
            lines.extend(signed.problems.clone());
            lines.push(format!(
                "{} of {} entries are what the archive has signed",
                signed.signed, signed.entries
            ));
        }
        if let Some(reach) = &self.reach {
            let (gone, unclear) = (reach.gone.len(), reach.unclear.len());
            lines.extend(
                reach
                    .unclear
                    .iter()
                    .map(|name| format!("no answer: {name}")),
            );
            lines.extend(reach.gone.iter().map(|name| format!("gone: {name}")));
            lines.push(format!(
                "{} of {} pinned files can be downloaded",
                reach.files - gone - unclear,
                reach.files
            ));
            if gone > 0 {
                lines.push(
                    "what is gone can come from a directory that `cki-build mirror` filled before (--second-mirror \
                     URL); `cki-build lock --update` pins what the archive has now"
                        .into(),
                );
            }
        }
        lines
    }
}

fn describe(report: &LockReport) -> Result<(), Error> {
    for (title, entries) in [
        ("added", &report.added),
        ("removed", &report.removed),
        ("updated", &report.updated),
        ("warning", &report.warnings),
    ] {
        entries
            .iter()
            .try_for_each(|entry| print(&format!("{title}: {entry}")))?;
    }
    print(&format!(
        "{}: {} packages, {}",
        if report.changed {
            "the lock file was written"
        } else {
            "the lock file is unchanged"
        },
        report.packages,
        human_bytes(report.bytes)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(problem: Option<&str>, gone: &[&str]) -> Checked {
        let compared = CheckReport {
            consistent: true,
            problems: Vec::new(),
        };
        let signed = SignedReport {
            entries: 3,
            signed: 3 - problem.iter().count(),
            problems: problem.iter().map(|&p| p.to_owned()).collect(),
            notes: Vec::new(),
        };
        let reach = ReachReport {
            files: 3,
            gone: gone.iter().map(|&name| name.to_owned()).collect(),
            unclear: Vec::new(),
        };
        Checked::of(compared, Some(signed), Some(reach))
    }

    #[test]
    fn a_lock_is_good_when_all_is_requested_signed_and_there() {
        let good = checked(None, &[]);
        assert!(good.good);
        assert_eq!(
            good.lines(),
            [
                "the lock file has everything that is requested",
                "3 of 3 entries are what the archive has signed",
                "3 of 3 pinned files can be downloaded"
            ]
        );
        assert!(!checked(Some("package m4 is not signed"), &[]).good);
        let gone = checked(None, &["m4 (http://mirror.example.org/m4.deb)"]);
        assert!(!gone.good);
        let text = gone.lines().join("\n");
        assert!(
            text.contains("gone: m4")
                && text.contains("2 of 3 pinned")
                && text.contains("--second-mirror"),
            "{text}"
        );
    }
}

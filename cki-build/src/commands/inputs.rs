// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build fetch` and `cki-build lock`

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::cli::{Fetch, Lock};
use crate::context::Context;
use crate::error::Error;
use crate::inputs::{LOCK, REQUEST, open, provide_all, read_lock};
use crate::output::{print, print_json};
use cki_inputs::InputsError;
use cki_inputs::lock::{self, LockReport, Mode};
use cki_inputs::lockfile::LockFile;
use cki_inputs::request::Request;
use cki_nix::path::Mode as HashMode;
use cki_nix::setup;
use cki_process::units::human_bytes;
use cki_session::Status;

/// `cki-build fetch`
pub(super) fn fetch(context: &Context, args: &Fetch) -> Result<Status, Error> {
    setup::ensure_nix(&context.nix, context.progress)?;
    let mut lock = read_lock(&context.checkout)?;
    if !args.attrs.is_empty() {
        keep_needed(context, &mut lock, &args.attrs)?;
    }
    let report = provide_all(context, &lock)?;
    if context.global.json {
        print_json(&report)?;
    } else {
        print(&format!(
            "{} inputs: {} were in the store, {} added, {} downloaded",
            report.files,
            report.in_store,
            report.added,
            human_bytes(report.fetch.downloaded_bytes)
        ))?;
    }
    Ok(Status::OK)
}

/// Takes out of `lock` what no derivation behind `attrs` names.
fn keep_needed(context: &Context, lock: &mut LockFile, attrs: &[String]) -> Result<(), Error> {
    let targets = context.evaluate(attrs)?;
    let drvs: Vec<_> = targets
        .values()
        .map(|target| target.drv.as_path())
        .collect();
    let needed: BTreeSet<PathBuf> = cki_nix::derivations::fixed_outputs(
        &context.nix.store,
        &context.nix.show_derivations(&drvs).read()?,
    )?;
    let is_needed = |name: &str, sha256: &str| {
        needed.contains(&context.nix.fixed_output(name, HashMode::Flat, sha256))
    };
    let seed = lock.seed.package.clone();
    lock.packages
        .retain(|name, package| *name == seed || is_needed(&package.store, &package.sha256));
    lock.sources
        .retain(|_, source| is_needed(&source.store, &source.sha256));
    Ok(())
}

/// `cki-build lock`
pub(super) fn lock(context: &Context, args: &Lock) -> Result<Status, Error> {
    let dir = &context.checkout.dir;
    let request = Request::read(&dir.join(REQUEST)).map_err(InputsError::from)?;
    let path = dir.join(LOCK);
    if args.check {
        let report = lock::check(&request, &read_lock(&context.checkout)?);
        if context.global.json {
            print_json(&report)?;
        } else if report.consistent {
            print("the lock file has everything that is requested")?;
        } else {
            report
                .problems
                .iter()
                .try_for_each(|problem| print(problem))?;
        }
        return Ok(if report.consistent {
            Status::OK
        } else {
            Status::NO
        });
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
    let (new, report) = lock::resolve(&inputs, &request, old.as_ref(), mode)?;
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

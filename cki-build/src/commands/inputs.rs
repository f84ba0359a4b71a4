// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build fetch`

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::cli::Fetch;
use crate::context::Context;
use crate::error::Error;
use crate::inputs::{provide_all, read_lock};
use crate::output::{print, print_json};
use cki_inputs::lock_json::LockFile;
use cki_nix::path::Mode as HashMode;
use cki_nix::setup;
use cki_session::Status;
use cki_wording::units::human_bytes;

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

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Inputs of the build: `cki-build fetch`, `cki-build lock`, and what other commands need of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Context, Error, print, print_json};
use crate::cli::{Fetch, Global, Lock};
use crate::doctor::Finding;
use cki_inputs::app::{AppPlan, resolve_app};
use cki_inputs::cache::write_atomically;
use cki_inputs::crates::{Cargo, provide_crates};
use cki_inputs::fetch::Policy;
use cki_inputs::lock::{self, LockReport, Mode};
use cki_inputs::lockfile::LockFile;
use cki_inputs::mirrors::Mirrors;
use cki_inputs::provide::{self, ProvideReport, provide_app, provide_lock};
use cki_inputs::request::Request;
use cki_inputs::{Cancel, InputsError, Silent};
use cki_nix::Nix;
use cki_nix::cache::Cache;
use cki_nix::checkout::Checkout;
use cki_nix::path::Mode as HashMode;
use cki_nix::setup;
use cki_process::exit::Status;
use cki_process::progress::Step;
use cki_process::units::human_bytes;

/// The lock file, below the checkout.
const LOCK: &str = "nix/debian/lock.json";

/// The request that it answers.
const REQUEST: &str = "nix/debian/request.toml";

/// Where apt is configured.
const APT: &str = "/etc/apt";

/// Bytes from which on a download is told of while it goes on.
const LONG_DOWNLOAD: u64 = 50 << 20;

/// The packages of an application image, and the file that tells Nix of them.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The packages.
    pub plan: AppPlan,
    /// The plan as JSON.
    pub path: PathBuf,
}

/// Resolves `packages` with what they depend on; nothing is downloaded when that was done before.
///
/// # Errors
/// [`Error::Inputs`]; an unknown package is answered with the nearest names.
pub fn plan(context: &Context, packages: &[String]) -> Result<Planned, Error> {
    let step = context.progress.short_step("resolving packages");
    let ours = open(context, step)?;
    let lock = read_lock(&context.checkout)?;
    let plan = resolve_app(&ours, &lock, packages)?;
    for warning in &plan.warnings {
        ours.progress.note(warning);
    }
    let path = ours.cache.plan(&format!("image-{}", plan.hash));
    if !path.exists() {
        let text = serde_json::to_vec(&plan).map_err(|error| Error::Io {
            path: path.clone(),
            source: error.into(),
        })?;
        write_atomically(&path, &text).map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
    }
    Ok(Planned { plan, path })
}

/// Puts the packages of a plan into the store; Nix must be there.
///
/// # Errors
/// [`Error::Inputs`].
pub fn ensure_plan(context: &Context, planned: &Planned) -> Result<(), Error> {
    let step = context.progress.short_step("looking for the packages");
    provide_app(&open(context, step)?, &planned.plan)?;
    Ok(())
}

/// Puts everything that the build starts from into the store; Nix must be there.
///
/// # Errors
/// [`Error::Inputs`].
pub fn ensure(context: &Context) -> Result<ProvideReport, Error> {
    provide_all(context, &read_lock(&context.checkout)?)
}

fn provide_all(context: &Context, lock: &LockFile) -> Result<ProvideReport, Error> {
    let step = context.progress.short_step("looking for the inputs");
    let ours = open(context, step)?;
    let mut report = provide_lock(&ours, lock)?;
    let manifest = context.checkout.dir.join("Cargo.toml");
    report.add(provide_crates(&ours, &Cargo::default(), &manifest)?);
    Ok(report)
}

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
    let needed: BTreeSet<PathBuf> =
        crate::verify::fixed_outputs(&context.nix.show_derivations(&drvs).read()?)?;
    let store = store_nix(&context.nix);
    let is_needed = |name: &str, sha256: &str| {
        needed.contains(&store.fixed_output(name, HashMode::Flat, sha256))
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
    let ours = open(context, step)?;
    let (new, report) = lock::resolve(&ours, &request, old.as_ref(), mode)?;
    drop(ours);
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

/// What `doctor` says of mirrors and inputs. Nothing is downloaded.
#[must_use]
pub fn examine(global: &Global, cache: &Cache, checkout: Option<&Checkout>) -> Vec<Finding> {
    let mut findings = vec![mirror(global.mirror.as_deref())];
    if let Some(checkout) = checkout {
        findings.push(pinned(cache, checkout));
    }
    findings
}

fn mirror(named: Option<&str>) -> Finding {
    const NAME: &str = "mirror";
    let bases = mirrors(named).and_then(|mirrors| Ok(mirrors.bases("bookworm", "main")?));
    match bases {
        Ok(bases) => Finding::ok(NAME, bases.join(", ")),
        Err(error) => Finding::missing(
            NAME,
            error.to_string(),
            "configure apt for Debian 12, or name a mirror with --mirror URL",
        ),
    }
}

fn pinned(cache: &Cache, checkout: &Checkout) -> Finding {
    const NAME: &str = "inputs";
    let count = || -> Result<(usize, usize), Error> {
        let lock = read_lock(checkout)?;
        // Nothing is downloaded, so any mirror will do, and there may be none.
        let ours = with_mirrors(
            cache,
            Mirrors::named("file:/").map_err(InputsError::from)?,
            &Nix::current(),
            Arc::new(Silent),
        )?;
        let paths = provide::store_paths(&ours, &lock);
        let missing = ours
            .nix
            .missing(paths.iter().map(PathBuf::as_path))
            .map_err(InputsError::from)?;
        Ok((paths.len(), missing.len()))
    };
    match count() {
        Ok((all, 0)) => Finding::ok(NAME, format!("all {all} pinned files are in the store")),
        Ok((all, missing)) => Finding::note(
            NAME,
            format!("{missing} of {all} pinned files are not in the store"),
            "cki-build fetch (or any build) downloads them",
        ),
        Err(error) => Finding::note(NAME, error.to_string(), "cki-build fetch"),
    }
}

fn read_lock(checkout: &Checkout) -> Result<LockFile, Error> {
    Ok(LockFile::read(&checkout.dir.join(LOCK)).map_err(InputsError::from)?)
}

fn mirrors(named: Option<&str>) -> Result<Mirrors, InputsError> {
    Ok(match named {
        Some(url) => Mirrors::named(url)?,
        None => Mirrors::from_apt(Path::new(APT))?,
    })
}

/// What the library of inputs needs, telling `step` what goes on.
fn open(context: &Context, step: Step) -> Result<cki_inputs::Context, Error> {
    let mirrors = mirrors(context.global.mirror.as_deref())?;
    with_mirrors(
        &context.cache,
        mirrors,
        &context.nix,
        Arc::new(Shown::new(step)),
    )
}

fn with_mirrors(
    cache: &Cache,
    mirrors: Mirrors,
    nix: &Nix,
    progress: Arc<dyn cki_inputs::Progress>,
) -> Result<cki_inputs::Context, Error> {
    let cache = cki_inputs::cache::Cache::open(cache.dir()).map_err(InputsError::from)?;
    // A signal ends us at once: whatever is half done is found by the next run.
    let cancel = Cancel::new();
    Ok(cki_inputs::Context::with(
        cache,
        mirrors,
        store_nix(nix),
        Policy::default(),
        progress,
        cancel,
    )?)
}

fn store_nix(nix: &Nix) -> cki_nix::store::Nix {
    cki_nix::store::Nix {
        store: cki_nix::store_dir(),
        env: vec![("NIX_CONFIG".into(), nix.config().into())],
        ..cki_nix::store::Nix::default()
    }
}

/// Shows downloads as a step.
struct Shown {
    step: Step,
    total: AtomicU64,
    done: AtomicU64,
}

impl Shown {
    fn new(step: Step) -> Self {
        Self {
            step,
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }

    fn arrived(&self, name: &str, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        let (done, total) = (before + bytes, self.total.load(Ordering::Relaxed).max(1));
        self.step.detail(&format!(
            "{} of {}: {name}",
            human_bytes(done),
            human_bytes(total)
        ));
        // Where only lines are shown, every tenth part of a long download is one.
        if total >= LONG_DOWNLOAD && before * 10 / total < done * 10 / total {
            self.step.line(&format!(
                "downloaded {} of {}",
                human_bytes(done),
                human_bytes(total)
            ));
        }
    }
}

impl cki_inputs::Progress for Shown {
    fn begin(&self, files: usize, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        if files > 0 {
            self.step.part(&format!(
                "downloading {files} files, {}",
                human_bytes(bytes)
            ));
        }
    }

    fn file_started(&self, name: &str, _size: u64, have: u64) {
        if have > 0 {
            self.arrived(name, have);
        }
    }

    fn advanced(&self, name: &str, bytes: u64) {
        self.arrived(name, bytes);
    }

    fn step(&self, message: &str) {
        self.step.part(message);
    }

    fn note(&self, message: &str) {
        self.step.note(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_is_none_is_missing() {
        let finding = mirror(Some("not a URL"));
        assert_eq!(finding.severity, crate::doctor::Severity::Missing);
        let finding = mirror(Some("http://mirror.example/debian/"));
        assert_eq!(finding.detail, "http://mirror.example/debian");
    }
}

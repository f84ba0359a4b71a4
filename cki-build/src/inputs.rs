// SPDX-License-Identifier: MIT OR Apache-2.0

//! Inputs of the build, as the commands need them: the packages of an image, and everything in the store.

use std::path::{Path, PathBuf};

use crate::cli::Global;
use crate::contents::Packages;
use crate::context::Context;
use crate::error::Error;
use cki_inputs::app::resolve_app;
use cki_inputs::cargo::Cargo;
use cki_inputs::downloads::Downloads;
use cki_inputs::fetch::download::Policy;
use cki_inputs::image_lock::{self, ImageLockError};
use cki_inputs::lock_json::LockFile;
use cki_inputs::mirrors::Mirrors;
use cki_inputs::plan::AppPlan;
use cki_inputs::provide::{provide_app, provide_lock};
use cki_inputs::provide_crates::provide_crates;
use cki_inputs::shown::Shown;
use cki_inputs::updates::Versions;
use cki_inputs::{Inputs, InputsError, ProvideReport};
use cki_nix::Nix;
use cki_nix::cache::Cache;
use cki_nix::checkout::Checkout;
use cki_process::cancel::Cancel;
use cki_process::files::write_atomically;
use cki_process::progress::Step;

/// The lock file, below the checkout.
pub(crate) const LOCK: &str = "nix/debian/lock.json";

/// The request that it answers.
pub(crate) const REQUEST: &str = "nix/debian/request.toml";

/// Where apt is configured.
const APT: &str = "/etc/apt";

/// The packages of an application image, and the file that tells Nix of them.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The packages.
    pub plan: AppPlan,
    /// The plan as JSON.
    pub path: PathBuf,
}

/// Resolves `packages` with what they depend on; when that was done before, nothing is downloaded but, once a day, the
/// list of security updates. An image's lock file is read, or written.
///
/// # Errors
/// [`Error::Inputs`]; an unknown package is answered with the nearest names.
pub fn plan(context: &Context, packages: &Packages) -> Result<Planned, Error> {
    let step = context.progress.short_step("resolving packages");
    let inputs = open(context, step)?;
    let plan = match locked(packages)? {
        Some(plan) => plan,
        None => {
            let versions = if packages.pinned {
                Versions::Pinned
            } else {
                Versions::Current
            };
            let lock = read_lock(&context.checkout)?;
            let plan = resolve_app(&inputs, &lock, &packages.deb, versions)?;
            if let Some(path) = &packages.lock {
                image_lock::write(path, &plan).map_err(InputsError::from)?;
            }
            plan
        }
    };
    for warning in &plan.warnings {
        inputs.shown.note(warning);
    }
    let path = inputs
        .downloads
        .plan(&format!("image-{}-{}", plan.version, plan.hash));
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

/// The plan of the image's lock file, if one is named and there.
fn locked(packages: &Packages) -> Result<Option<AppPlan>, Error> {
    let Some(path) = &packages.lock else {
        return Ok(None);
    };
    let plan = image_lock::read(path, &packages.deb).map_err(InputsError::from)?;
    if plan.is_none() && packages.locked {
        let missing = ImageLockError::Missing(path.clone());
        return Err(InputsError::from(missing).into());
    }
    Ok(plan)
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

pub(crate) fn provide_all(context: &Context, lock: &LockFile) -> Result<ProvideReport, Error> {
    let step = context.progress.short_step("looking for the inputs");
    let inputs = open(context, step)?;
    let mut report = provide_lock(&inputs, lock)?;
    report.add(provide_crates(
        &inputs,
        &Cargo::default(),
        &manifests(&context.checkout),
    )?);
    Ok(report)
}

/// The manifests of the workspaces whose locks name crates: ours, and that of the formatter of Nix files.
pub(crate) fn manifests(checkout: &Checkout) -> [PathBuf; 2] {
    ["Cargo.toml", "nix/formatter/Cargo.toml"].map(|manifest| checkout.dir.join(manifest))
}

pub(crate) fn read_lock(checkout: &Checkout) -> Result<LockFile, Error> {
    Ok(LockFile::read(&checkout.dir.join(LOCK)).map_err(InputsError::from)?)
}

pub(crate) fn mirrors(global: &Global) -> Result<Mirrors, InputsError> {
    let mirrors = match &global.mirror {
        Some(url) => Mirrors::named(url)?,
        None => Mirrors::from_apt(Path::new(APT))?,
    };
    Ok(match &global.second_mirror {
        Some(url) => mirrors.with_second(url)?,
        None => mirrors,
    })
}

/// What operations on inputs need, showing `step` as what goes on.
pub(crate) fn open(context: &Context, step: Step) -> Result<Inputs, Error> {
    let mirrors = mirrors(&context.global)?;
    with_mirrors(&context.cache, mirrors, &context.nix, step)
}

pub(crate) fn with_mirrors(
    cache: &Cache,
    mirrors: Mirrors,
    nix: &Nix,
    step: Step,
) -> Result<Inputs, Error> {
    let downloads = Downloads::open(cache.dir()).map_err(InputsError::from)?;
    // A signal ends us at once: whatever is half done is found by the next run.
    let cancel = Cancel::new();
    Ok(Inputs::new(
        downloads,
        mirrors,
        nix.clone(),
        Policy::default(),
        Shown::new(step),
        cancel,
    ))
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mirrors and pinned files.

use std::path::PathBuf;

use crate::cli::Global;
use crate::error::Error;
use crate::inputs::{manifests, mirrors, read_lock, with_mirrors};
use cki_doctor::Finding;
use cki_inputs::mirrors::Mirrors;
use cki_inputs::provide_crates::crates_by_path;
use cki_inputs::{InputsError, provide};
use cki_nix::Nix;
use cki_nix::cache::Cache;
use cki_nix::checkout::Checkout;
use cki_process::progress::Progress;

/// What `doctor` says of mirrors and inputs. Nothing is downloaded.
pub(super) fn examine(global: &Global, cache: &Cache, checkout: Option<&Checkout>) -> Vec<Finding> {
    let mut findings = vec![mirror(global)];
    if let Some(checkout) = checkout {
        findings.push(pinned(cache, checkout));
    }
    findings
}

fn mirror(global: &Global) -> Finding {
    const NAME: &str = "mirror";
    let bases = mirrors(global).and_then(|mirrors| Ok(mirrors.bases("bookworm", "main")?));
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
        let inputs = with_mirrors(
            cache,
            Mirrors::named("file:/").map_err(InputsError::from)?,
            &Nix::current(),
            Progress::quiet().short_step("looking for the inputs"),
        )?;
        let mut paths = provide::store_paths(&inputs, &lock);
        paths.extend(crates_by_path(&inputs, &manifests(checkout))?.into_keys());
        let missing = inputs
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser as _;

    fn named(mirror: &str) -> Global {
        let words = ["cki-build", "doctor", "--mirror", mirror];
        Cli::try_parse_from(words).expect("valid").global
    }

    #[test]
    fn an_invalid_mirror_is_missing() {
        let finding = mirror(&named("not a URL"));
        assert_eq!(finding.severity, cki_doctor::Severity::Missing);
        let finding = mirror(&named("http://mirror.example/debian/"));
        assert_eq!(finding.detail, "http://mirror.example/debian");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build doctor`

mod inputs;

use crate::cli::Global;
use crate::error::Error;
use crate::output::{print, print_json};
use cki_doctor::{Finding, checks, containers, healthy, namespaces, system, verdict};
use cki_nix::Nix;
use cki_nix::cache::Cache;
use cki_nix::checkout::Checkout;
use cki_session::Status;
use inputs::examine;

pub(super) fn doctor(global: &Global) -> Result<Status, Error> {
    let nix = Nix::current();
    let checkout = Checkout::find(global.flake.as_deref());
    let cache = Cache::open(global.cache.as_deref())?;
    let mut findings = vec![checks::nix(&nix)];
    // Without Nix there is nothing to ask it.
    if findings.iter().all(|finding| finding.remedy.is_none()) {
        findings.extend([checks::settings(&nix), checks::store(&nix)]);
    }
    findings.insert(0, system::system());
    findings.extend([namespaces::namespaces(), checks::git(), checks::keyring()]);
    findings.extend(examine(global, &cache, checkout.as_ref().ok()));
    findings.extend(checks::space(&nix.store, cache.dir()));
    findings.extend([
        checks::kvm(),
        containers::containers(),
        checks::checkout(&checkout),
    ]);
    report(global.json, &findings)?;
    Ok(if healthy(&findings) {
        Status::OK
    } else {
        Status::NO
    })
}

fn report(json: bool, findings: &[Finding]) -> Result<(), Error> {
    if json {
        return print_json(
            &serde_json::json!({ "healthy": healthy(findings), "findings": findings }),
        );
    }
    findings
        .iter()
        .try_for_each(|finding| print(&finding.to_string()))?;
    print(&verdict(findings))
}

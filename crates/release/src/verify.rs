// SPDX-License-Identifier: MIT OR Apache-2.0

//! Verifying a release.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::ReleaseError;
use crate::ground::Ground;
use crate::make::{documents, outputs};
use crate::manifest::{self, Manifest, ManifestError};
use crate::signature::{self, SignatureError};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Who signed, when the signature is good.
    pub signer: Option<String>,
    /// The commit that it is of.
    pub commit: Option<String>,
    /// Files that are listed.
    pub files: usize,
    /// Outputs that were compared with a build.
    pub rebuilt: usize,
    /// What is wrong; one sentence each.
    pub problems: Vec<String>,
}

/// Verifies the release in `directory`: that one of `signers` signed its list, that every file is as listed and no
/// other is there, and that it says of itself what follows from the lock files of the checkout, which must be at the
/// same commit. With `rebuild`, its outputs are built, unless the store has them, and compared, too.
///
/// # Errors
/// Those of `ground`, or [`ReleaseError`], when it cannot be told; what is wrong with the release is in the result.
pub fn verify<G: Ground>(
    ground: &G,
    directory: &Path,
    signers: &Path,
    rebuild: bool,
) -> Result<Verified, G::Error> {
    let mut found = Verified::default();
    manifest::look_at(directory).map_err(ReleaseError::from)?;
    match signature::verify(signers, directory) {
        Ok(signer) => found.signer = Some(signer),
        Err(error @ (SignatureError::Absent(_) | SignatureError::Bad(_))) => {
            // What nobody has signed is a stranger's, and says nothing.
            found.problems.push(error.to_string());
            return Ok(found);
        }
        Err(error) => return Err(ReleaseError::from(error).into()),
    }
    let manifest = match Manifest::read(directory) {
        Ok(manifest) => manifest,
        Err(error @ (ManifestError::Damaged { .. } | ManifestError::File { .. })) => {
            found.problems.push(error.to_string());
            return Ok(found);
        }
        Err(error) => return Err(ReleaseError::from(error).into()),
    };
    if manifest.version != manifest::VERSION {
        let (theirs, ours) = (manifest.version, manifest::VERSION);
        let problem = format!("its list is of version {theirs}, and this tool reads {ours}");
        found.problems.push(problem);
        return Ok(found);
    }
    found.commit = Some(manifest.commit.clone());
    found.files = manifest.files.len();
    let step = ground.progress().step("hashing the files of the release");
    let differences = manifest
        .differences(directory)
        .map_err(ReleaseError::from)?;
    found.problems.extend(differences);
    step.finish();
    let head = ground
        .checkout()
        .state()
        .map_err(ReleaseError::from)?
        .and_then(|state| {
            let dirty = state.dirty;
            state.head.filter(|_| !dirty)
        });
    if head.as_deref() != Some(manifest.commit.as_str()) {
        found.problems.push(format!(
            "what it says of itself was not compared: the checkout is not at its commit, {}; check that out",
            manifest.commit
        ));
        return Ok(found);
    }
    let time = ground
        .checkout()
        .commit_time()
        .map_err(ReleaseError::from)?;
    if time.as_ref() != Some(&manifest.time) {
        let problem = format!("its time, {}, is not that of its commit", manifest.time);
        found.problems.push(problem);
    }
    for (name, expected) in documents(ground, &manifest.subject(), &manifest.builder)? {
        let text = fs::read_to_string(directory.join(name)).unwrap_or_default();
        if text != expected {
            let problem = format!("{name} does not follow from the lock files of the checkout");
            found.problems.push(problem);
        }
    }
    if rebuild {
        let names: Vec<&str> = manifest.outputs.iter().map(|o| o.name.as_str()).collect();
        let built = outputs(ground, &names)?;
        found.rebuilt = built.len();
        for listed in &manifest.outputs {
            let Some(built) = built.iter().find(|built| built.name == listed.name) else {
                found
                    .problems
                    .push(format!("{} was not built here", listed.name));
                continue;
            };
            if listed != built {
                found.problems.push(format!(
                    "{} is another here: {} with SHA-256 {} instead of {} with {}",
                    listed.name, built.path, built.sha256, listed.path, listed.sha256
                ));
            }
        }
    }
    Ok(found)
}

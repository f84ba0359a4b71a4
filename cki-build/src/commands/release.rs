// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build release`

use std::collections::BTreeMap;
use std::path::Path;

use crate::context::Context;
use crate::error::Error;
use crate::inputs;
use crate::output::{print, print_json};
use cki_inputs::Inputs;
use cki_inputs::lock_json::LockFile;
use cki_nix::checkout::Checkout;
use cki_nix::{Nix, NixError, Target};
use cki_process::progress::{Progress, Step};
use cki_release::args::Release;
use cki_release::error::ReleaseError;
use cki_release::ground::Ground;
use cki_release::make::make;
use cki_release::verify::{Verified, verify};
use cki_session::{Status, printable};

impl Ground for Context {
    type Error = Error;

    fn checkout(&self) -> &Checkout {
        &self.checkout
    }

    fn nix(&self) -> &Nix {
        &self.nix
    }

    fn progress(&self) -> Progress {
        self.progress
    }

    fn lock(&self) -> Result<LockFile, Error> {
        inputs::read_lock(&self.checkout)
    }

    fn inputs(&self, step: Step) -> Result<Inputs, Error> {
        inputs::open(self, step)
    }

    fn outputs(&self, names: &[&str]) -> Result<BTreeMap<String, Target>, Error> {
        Self::outputs(self, names)
    }

    fn explain(&self, error: NixError) -> Error {
        Self::explain(self, error)
    }
}

pub(super) fn release(context: &Context, args: &Release) -> Result<Status, Error> {
    match (&args.signers, &args.key) {
        (Some(signers), _) => verified(context, args, signers),
        (None, Some(key)) => made(context, args, key),
        (None, None) => Err(ReleaseError::NoKey.into()),
    }
}

fn made(context: &Context, args: &Release, key: &Path) -> Result<Status, Error> {
    let manifest = make(context, args, key)?;
    if context.global.json {
        print_json(&manifest)?;
    } else {
        for output in &manifest.outputs {
            print(&format!("{}  {}", output.sha256, output.name))?;
        }
        print(&format!(
            "{}: {} outputs of {}, {} files, signed",
            args.directory.display(),
            manifest.outputs.len(),
            manifest.commit,
            manifest.files.len() + 2
        ))?;
    }
    Ok(Status::OK)
}

fn verified(context: &Context, args: &Release, signers: &Path) -> Result<Status, Error> {
    let found = verify(context, &args.directory, signers, args.rebuild)?;
    if context.global.json {
        let good = found.problems.is_empty();
        print_json(&serde_json::json!({ "good": good, "found": &found }))?;
    } else {
        lines(&found).iter().try_for_each(|line| print(line))?;
    }
    Ok(if found.problems.is_empty() {
        Status::OK
    } else {
        Status::NO
    })
}

fn lines(found: &Verified) -> Vec<String> {
    let mut lines: Vec<String> = found
        .problems
        .iter()
        .map(|problem| format!("WRONG: {}", printable(problem)))
        .collect();
    if let Some(signer) = &found.signer {
        lines.push(format!("signed by {}", printable(signer)));
    }
    lines.push(match &found.commit {
        Some(commit) if found.problems.is_empty() => {
            let commit = printable(commit);
            format!(
                "all {} files are as they were signed, of {commit}",
                found.files
            )
        }
        _ => "this is not what was released".to_owned(),
    });
    if found.rebuilt > 0 {
        lines.push(format!(
            "{} outputs were compared with those of this machine",
            found.rebuilt
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_first_and_decides() {
        let good = Verified {
            signer: Some("me".into()),
            commit: Some("c0ffee".into()),
            files: 3,
            ..Verified::default()
        };
        assert_eq!(
            lines(&good),
            [
                "signed by me",
                "all 3 files are as they were signed, of c0ffee"
            ]
        );
        let bad = Verified {
            problems: vec!["a was changed".into()],
            ..good
        };
        let told = lines(&bad);
        assert_eq!(told[0], "WRONG: a was changed");
        assert_eq!(told[2], "this is not what was released");
        // A file's name is whatever somebody calls it, and nothing for a terminal.
        let sly = Verified {
            problems: vec!["\u{1b}[2K\rsigned is not listed".into()],
            ..bad
        };
        assert!(!lines(&sly)[0].contains('\u{1b}'), "{:?}", lines(&sly));
    }
}

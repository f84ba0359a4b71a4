// SPDX-License-Identifier: MIT OR Apache-2.0

//! What this machine lacks, and how to get it.
//!
//! Each check looks at one thing, in a file of its subject, changes nothing, and gives a [`Finding`]. What is said of
//! pinned inputs and their mirrors is with the command, which knows where they are.
//!
//! Used by: `cki-build`. May use: `cki-nix`, `cki-process`, `cki-wording`.

pub mod checks;
pub mod containers;
pub mod namespaces;
pub mod system;

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// All is well.
    Ok,
    /// Something works less well, or only some commands need it.
    Note,
    /// Nothing can be built or run without it.
    Missing,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The thing.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub detail: String,
    /// What to do about it; none when all is well.
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            severity: Severity::Ok,
            detail: detail.into(),
            remedy: None,
        }
    }

    /// Something works less well.
    pub fn note(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            severity: Severity::Note,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// Nothing works without it.
    pub fn missing(
        name: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Missing,
            ..Self::note(name, detail, remedy)
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = match self.severity {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Missing => "MISSING",
        };
        write!(f, "{mark:8}{}: {}", self.name, self.detail)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n{:8}-> {remedy}", ""),
            None => Ok(()),
        }
    }
}

/// Whether everything can be built and run.
#[must_use]
pub fn healthy(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.severity != Severity::Missing)
}

/// The last line for people: what all findings come to.
#[must_use]
pub fn verdict(findings: &[Finding]) -> String {
    let missing = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Missing)
        .count();
    match missing {
        0 => "nothing is missing".to_owned(),
        1 => "one thing is missing, without which nothing can be built or run".to_owned(),
        n => format!("{n} things are missing, without which nothing can be built or run"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_do_not_make_ill_but_missing_things_do() {
        let ok = Finding::ok("git", "2.39");
        let note = Finding::note("checkout", "dirty", "commit");
        let missing = Finding::missing("nix", "not installed", "apt-get install nix-bin");
        assert!(healthy(&[ok.clone(), note.clone()]));
        assert!(!healthy(&[ok, note, missing]));
    }

    #[test]
    fn a_finding_shows_its_remedy() {
        let text = Finding::missing("nix", "not installed", "apt-get install nix-bin").to_string();
        assert_eq!(
            text,
            "MISSING nix: not installed\n        -> apt-get install nix-bin"
        );
    }

    #[test]
    fn the_verdict_is_about_what_is_missing_only() {
        let ok = Finding::ok("a", "there");
        let note = Finding::note("b", "slow", "wait");
        let missing = Finding::missing("c", "not there", "get it");
        assert_eq!(verdict(&[ok, note]), "nothing is missing");
        let one = [missing.clone()];
        assert!(verdict(&one).starts_with("one thing is missing"));
        let two = [missing.clone(), missing];
        assert!(verdict(&two).starts_with("2 things are missing"));
    }
}

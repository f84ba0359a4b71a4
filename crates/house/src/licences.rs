// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which licence a file states: in a line of its own, or in `REUSE.toml` when it cannot carry one
//! (REUSE Specification 3.3, sections "Comment headers" and "REUSE.toml").

use serde::Deserialize;

/// How many lines at the head of a file may hold the statement: it comes first, or after `#!`.
const HEAD: usize = 5;

/// The licence expressions that the first lines of a file state.
///
/// Only the text behind a comment's marker counts, so a string that names the tag is no statement.
#[must_use]
pub fn stated(contents: &[u8]) -> Vec<String> {
    // Split, so that no tool takes this line for the statement of this file.
    let tag = concat!("SPDX-License", "-Identifier:");
    String::from_utf8_lossy(contents)
        .lines()
        .take(HEAD)
        .filter_map(|line| line.split_once(tag))
        .filter(|(before, _)| {
            matches!(
                before.trim(),
                "//" | "#" | "/*" | "*" | "<!--" | ".\\\"" | ";"
            )
        })
        .map(|(_, after)| {
            let after = after.trim();
            let after = after
                .strip_suffix("*/")
                .or_else(|| after.strip_suffix("-->"))
                .unwrap_or(after);
            after.trim().to_owned()
        })
        .collect()
}

/// `REUSE.toml`, as far as it is about licences.
#[derive(Debug, Deserialize)]
pub struct Reuse {
    annotations: Vec<Annotation>,
}

/// One `[[annotations]]` of it.
#[derive(Debug, Deserialize)]
pub struct Annotation {
    /// Patterns; `*` stands for anything within a name, `**` also for what has slashes.
    path: Vec<String>,
    /// The licence of the files that match; without it the table is about their copyright alone.
    #[serde(rename = "SPDX-License-Identifier")]
    licence: Option<String>,
}

impl Reuse {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// When it is not TOML or not of that form.
    pub fn parse(text: &str) -> Result<Reuse, toml::de::Error> {
        toml::from_str(text)
    }

    /// The licence that it states for `path`: that of the last table that matches, when it has one.
    #[must_use]
    pub fn licence(&self, path: &str) -> Option<&str> {
        let last = self
            .annotations
            .iter()
            .rfind(|annotation| annotation.path.iter().any(|pattern| matches(pattern, path)))?;
        last.licence.as_deref()
    }

    /// Patterns that match none of `files`.
    #[must_use]
    pub fn idle<'a>(&'a self, files: &[String]) -> Vec<&'a str> {
        self.annotations
            .iter()
            .flat_map(|annotation| &annotation.path)
            .filter(|pattern| !files.iter().any(|file| matches(pattern, file)))
            .map(String::as_str)
            .collect()
    }
}

/// Whether `path` is one that `pattern` of `REUSE.toml` names.
fn matches(pattern: &str, path: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**") {
        return path
            .char_indices()
            .map(|(at, _)| at)
            .chain([path.len()])
            .any(|at| matches(rest, &path[at..]));
    }
    if let Some(rest) = pattern.strip_prefix('*') {
        let name = path.find('/').unwrap_or(path.len());
        return path
            .char_indices()
            .map(|(at, _)| at)
            .chain([path.len()])
            .take_while(|at| *at <= name)
            .any(|at| matches(rest, &path[at..]));
    }
    match (pattern.chars().next(), path.chars().next()) {
        (None, None) => true,
        (Some(wanted), Some(there)) => {
            wanted == there && matches(&pattern[wanted.len_utf8()..], &path[there.len_utf8()..])
        }
        _ => false,
    }
}

/// Short identifiers of the licences and exceptions in an SPDX expression.
///
/// # Errors
/// When it is invalid, or names what the SPDX list does not have.
pub fn identifiers(expression: &str) -> Result<Vec<String>, spdx::ParseError> {
    let parsed = spdx::Expression::parse(expression)?;
    let mut names = Vec::new();
    for requirement in parsed.requirements() {
        names.push(requirement.req.license.to_string());
        names.extend(requirement.req.addition.as_ref().map(ToString::to_string));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_a_comment_at_the_head() {
        let tag = concat!("SPDX-License", "-Identifier:");
        let of = |text: String| stated(text.as_bytes());
        assert_eq!(
            of(format!("// {tag} MIT OR Apache-2.0\n\ncode\n")),
            ["MIT OR Apache-2.0"]
        );
        assert_eq!(of(format!("#!/bin/sh\n# {tag} MIT\n")), ["MIT"]);
        assert_eq!(
            of(format!(
                "/* {tag} GPL-2.0-only WITH Linux-syscall-note */\n"
            )),
            ["GPL-2.0-only WITH Linux-syscall-note"]
        );
        assert_eq!(of(format!("<!-- {tag} MIT -->\n")), ["MIT"]);
        assert_eq!(of(format!("# {tag} MIT\n# {tag} ISC\n")), ["MIT", "ISC"]);
        assert!(of(format!("let tag = \"{tag} MIT\";\n")).is_empty());
        assert!(of(format!("{}// {tag} MIT\n", "\n".repeat(HEAD))).is_empty());
    }

    #[test]
    fn patterns_are_those_of_reuse() {
        assert!(matches("Cargo.lock", "Cargo.lock"));
        assert!(!matches("Cargo.lock", "x/Cargo.lock"));
        assert!(matches("docs/*.md", "docs/isa.md"));
        assert!(!matches("docs/*.md", "docs/hack/isa.md"));
        assert!(matches("docs/**", "docs/hack/isa.md"));
        assert!(matches("**/*.md", "docs/hack/isa.md"));
        assert!(!matches("**/*.md", "README.md"));
        assert!(matches("**.md", "README.md"));
    }

    #[test]
    fn the_last_table_counts() {
        let reuse = Reuse::parse(
            r#"
            version = 1
            [[annotations]]
            path = ["**.md"]
            SPDX-License-Identifier = "MIT"
            [[annotations]]
            path = ["kernel/*.md", "gone"]
            SPDX-License-Identifier = "GPL-2.0-only"
            "#,
        )
        .expect("TOML");
        assert_eq!(reuse.licence("README.md"), Some("MIT"));
        assert_eq!(reuse.licence("kernel/README.md"), Some("GPL-2.0-only"));
        assert_eq!(reuse.licence("main.rs"), None);
        assert_eq!(reuse.idle(&["kernel/README.md".to_owned()]), ["gone"]);
    }

    #[test]
    fn an_expression_names_licences_and_exceptions() {
        assert_eq!(
            identifiers("MIT OR Apache-2.0").expect("an expression"),
            ["Apache-2.0", "MIT"]
        );
        assert_eq!(
            identifiers("GPL-2.0-only WITH Linux-syscall-note").expect("an expression"),
            ["GPL-2.0-only", "Linux-syscall-note"]
        );
        assert!(identifiers("MIT OR Nonsense").is_err());
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which outputs of the flake a suite needs: those whose variables its sources name.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cki_wording::nearest::{hint, nearest_names};

use super::NEEDED;

/// A row of [`NEEDED`]: an output of the flake, and its variable.
pub type Needed = (&'static str, &'static str);

/// Why it cannot be said what a suite needs.
#[derive(Debug, thiserror::Error)]
pub enum NeedsError {
    /// No such suite.
    #[error("there is no suite {name} in tests/tests{}", hint(.nearest))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names like it.
        nearest: Vec<String>,
    },
    /// A source cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The suites of the machine in a checkout: the files of `tests/tests`, and its directories with a `main.rs`.
///
/// # Errors
/// [`NeedsError::Read`].
pub fn suites(checkout: &Path) -> Result<BTreeSet<String>, NeedsError> {
    let dir = checkout.join("tests/tests");
    let mut suites = BTreeSet::new();
    for path in entries(&dir)? {
        let is_suite = path.extension().is_some_and(|extension| extension == "rs")
            || path.join("main.rs").is_file();
        if let (true, Some(stem)) = (is_suite, path.file_stem()) {
            suites.insert(stem.to_string_lossy().into_owned());
        }
    }
    Ok(suites)
}

/// What the suite of this name needs, in the order of [`NEEDED`]; all of it without a name.
///
/// # Errors
/// [`NeedsError`].
pub fn needs(checkout: &Path, suite: Option<&str>) -> Result<Vec<Needed>, NeedsError> {
    let Some(suite) = suite else {
        return Ok(NEEDED.to_vec());
    };
    let all = suites(checkout)?;
    if !all.contains(suite) {
        return Err(NeedsError::Unknown {
            name: suite.to_owned(),
            nearest: nearest_names(suite, all.iter().map(String::as_str)),
        });
    }
    let tests = checkout.join("tests");
    let mut text = String::new();
    read(&tests.join("tests").join(format!("{suite}.rs")), &mut text)?;
    read(&tests.join("tests").join(suite), &mut text)?;
    // What the suites have in common names variables, too.
    let own = text.clone();
    let used = used_modules(&own);
    for path in entries(&tests.join("src"))? {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if used.contains(&*stem) {
            read(&path, &mut text)?;
        }
    }
    let named: BTreeSet<_> = words(&text).collect();
    let is_named = |(_, variable): &Needed| named.contains(variable);
    Ok(NEEDED.into_iter().filter(is_named).collect())
}

/// The words of the paths and lists behind each `cki_tests::`, modules of `tests/src` among them.
fn used_modules(text: &str) -> BTreeSet<&str> {
    let uses = text.split("cki_tests::").skip(1);
    uses.filter_map(|rest| rest.split([';', '(']).next())
        .flat_map(words)
        .collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// Adds the text of a source, or of all sources below a directory, if there is one.
fn read(path: &Path, text: &mut String) -> Result<(), NeedsError> {
    if path.is_dir() {
        return entries(path)?
            .iter()
            .filter(|path| path.is_dir() || path.extension().is_some_and(|e| e == "rs"))
            .try_for_each(|path| read(path, text));
    }
    match fs::read_to_string(path) {
        Ok(source) => text.push_str(&source),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(failed(path, source)),
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, NeedsError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    };
    read().map_err(|source| failed(dir, source))
}

fn failed(path: &Path, source: io::Error) -> NeedsError {
    NeedsError::Read {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn variables(suite: &str) -> Vec<&'static str> {
        let needs = needs(&checkout(), Some(suite)).expect("a suite");
        needs.into_iter().map(|(_, variable)| variable).collect()
    }

    #[test]
    fn a_suite_needs_what_it_names_and_what_its_helpers_name() {
        assert_eq!(
            variables("isa"),
            ["CKI_QEMU", "CKI_QEMU_STOCK", "CKI_ISA_TESTS"]
        );
        let monitor = variables("monitor");
        for variable in [
            "CKI_QEMU",
            "CKI_KERNEL",
            "CKI_KSM",
            "CKI_KSM_MUTANTS",
            "CKI_KMOD",
            "CKI_KMOD_TESTS",
            "CKI_MONITOR_DRIVER",
        ] {
            assert!(monitor.contains(&variable), "{variable}: {monitor:?}");
        }
        assert!(!monitor.contains(&"CKI_QEMU_STOCK"), "{monitor:?}");
        assert!(variables("system").contains(&"CKI_TEST_SSH"));
        assert_eq!(variables("specification"), [""; 0]);
    }

    #[test]
    fn without_a_name_it_is_all_that_check_builds() {
        assert_eq!(needs(&checkout(), None).expect("a checkout"), NEEDED);
    }

    #[test]
    fn a_suite_that_there_is_not_is_refused_with_one_like_it() {
        let error = needs(&checkout(), Some("monitr")).expect_err("a typing error");
        let text = error.to_string();
        assert!(text.contains("did you mean monitor?"), "{text}");
        assert!(suites(&checkout()).expect("suites").contains("nixpkgs"));
    }

    #[test]
    fn a_directory_that_is_no_checkout_is_named() {
        let error = needs(Path::new("/nowhere"), Some("isa")).expect_err("no checkout");
        assert!(error.to_string().starts_with("/nowhere/tests/tests: "));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The lock file of an application image: a plan in a file of the user's, which is believed as lock.json is.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::order::PENDING;
use crate::plan::{AppPackage, AppPlan, FORMAT, digest};
use cki_debian::dependency::is_package_name;
use cki_debian::index::{is_relative_path, is_sha256};
use cki_debian::name::is_asked_for;
use cki_nix::path::store_name_of;
use cki_process::files::write_atomically;

/// No plan is nearly as large; more than this is not read.
const LIMIT: u64 = 64 * 1024 * 1024;

/// No package is nearly as large; so no sum of theirs overflows.
const SIZE_LIMIT: u64 = 1 << 40;

/// Why an image's lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageLockError {
    /// It has to be there.
    #[error("there is no {0}; without --locked, it is written")]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// It is not what we write.
    #[error("{path} is no lock file of an image: {problem}; remove it, and it is made anew")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It is of another version of ours.
    #[error("{path} has the format {found}, and {FORMAT} is known; remove it, and it is made anew")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// It answers another wish.
    #[error(
        "{path} pins an image with {}, not with {}; remove it, and it is made anew", list(.found), list(.wanted)
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// What it was made for.
        found: Vec<String>,
        /// What is asked for.
        wanted: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    match names {
        [] => "no package named".to_owned(),
        names => names.join(", "),
    }
}

/// Reads the plan for `wanted` from an image's lock file; `None` if there is no such file.
///
/// # Errors
/// See [`ImageLockError`].
pub fn read(path: &Path, wanted: &[String]) -> Result<Option<AppPlan>, ImageLockError> {
    let failed = |cause| ImageLockError::File {
        path: path.into(),
        cause,
    };
    let malformed = |problem: String| ImageLockError::Malformed {
        path: path.into(),
        problem,
    };
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(malformed("it is no file".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let file = File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.take(LIMIT + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > LIMIT {
        return Err(malformed(format!("it is larger than {LIMIT} bytes")));
    }
    let json: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
    match json["version"].as_u64() {
        Some(version) if version == u64::from(FORMAT) => {}
        Some(found) => {
            let path = path.into();
            return Err(ImageLockError::Version { path, found });
        }
        None => return Err(malformed("it has no version".to_owned())),
    }
    let mut plan: AppPlan =
        serde_json::from_value(json).map_err(|error| malformed(error.to_string()))?;
    // Those of then, or whatever somebody has written there.
    plan.warnings.clear();
    if let Some(problem) = problem(&plan) {
        return Err(malformed(problem));
    }
    let wanted: BTreeSet<&String> = wanted.iter().collect();
    if wanted != plan.requested.iter().collect() {
        return Err(ImageLockError::Other {
            path: path.into(),
            found: plan.requested,
            wanted: wanted.into_iter().cloned().collect(),
        });
    }
    Ok(Some(plan))
}

/// Writes a plan as an image's lock file, whole or not at all. A link to a file is followed.
///
/// # Errors
/// [`ImageLockError::File`].
pub fn write(path: &Path, plan: &AppPlan) -> Result<(), ImageLockError> {
    let failed = |cause| ImageLockError::File {
        path: path.into(),
        cause,
    };
    let mut plan = plan.clone();
    plan.warnings.clear();
    let mut text =
        serde_json::to_vec_pretty(&plan).expect("strings and numbers can be written as JSON");
    text.push(b'\n');
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    write_atomically(&target, &text).map_err(failed)
}

/// What is wrong with a plan. What it says goes into paths, URLs and a list of dpkg's words.
fn problem(plan: &AppPlan) -> Option<String> {
    let names: BTreeSet<&String> = plan.packages.iter().map(|p| &p.package).collect();
    if names.len() != plan.packages.len() {
        return Some("a package is in it twice".to_owned());
    }
    let odd = |p: &&AppPackage| {
        !is_package_name(&p.package)
            || !is_sha256(&p.sha256)
            || !is_relative_path(&p.path)
            || p.size > SIZE_LIMIT
            || p.store != store_name_of(&p.path)
            || !plan.suites.contains_key(&p.suite)
    };
    if let Some(package) = plan.packages.iter().find(odd) {
        return Some(format!(
            "its entry of {:?} cannot be right",
            package.package
        ));
    }
    if !plan.requested.iter().all(|name| is_asked_for(name)) {
        return Some("what was asked for is no package's name".to_owned());
    }
    let word = |text: &String| !text.contains(char::is_whitespace) && !text.contains('/');
    let suites = plan.suites.iter();
    if !suites
        .clone()
        .all(|(name, suite)| word(name) && word(&suite.component))
    {
        return Some("a suite in it cannot be right".to_owned());
    }
    let mut installed: Vec<&String> = plan.base.iter().collect();
    for step in &plan.steps {
        installed.extend(&step.unpack);
        let known = |name: &&String| *name == PENDING || installed.contains(name);
        if let Some(name) = step.configure.iter().find(|name| !known(name)) {
            return Some(format!("{name:?} would be configured before it is there"));
        }
    }
    if installed.len() != names.len() || installed.into_iter().collect::<BTreeSet<_>>() != names {
        return Some("its steps do not install each of its packages once".to_owned());
    }
    if plan.roots.len() != plan.requested.len() || !plan.roots.iter().all(|r| names.contains(r)) {
        return Some("what was asked for is not in it".to_owned());
    }
    (plan.hash != digest(&plan.packages, &plan.base, &plan.steps))
        .then(|| "its hash is not that of its packages and steps".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Step;
    use crate::plan::AppSuite;
    use std::collections::BTreeMap;

    fn package(name: &str) -> AppPackage {
        let path = format!("pool/main/{name}_1_amd64.deb");
        AppPackage {
            package: name.to_owned(),
            version: "1".parse().expect("a version"),
            suite: "stable-security".to_owned(),
            store: store_name_of(&path),
            path,
            sha256: "a".repeat(64),
            size: 1,
            deps: Vec::new(),
        }
    }

    fn plan() -> AppPlan {
        let suite = AppSuite {
            component: "main".to_owned(),
            date: "Sat, 11 Jul 2026 10:16:37 UTC".to_owned(),
        };
        let packages = vec![package("bash"), package("hello")];
        let base = vec!["bash".to_owned()];
        let steps = vec![Step {
            unpack: vec!["hello".to_owned()],
            configure: vec![PENDING.to_owned()],
        }];
        AppPlan {
            version: FORMAT,
            requested: vec!["hello".to_owned()],
            roots: vec!["hello".to_owned()],
            essential: vec!["bash".to_owned()],
            suites: BTreeMap::from([("stable-security".to_owned(), suite)]),
            hash: digest(&packages, &base, &steps),
            packages,
            base,
            steps,
            warnings: vec!["the mirror has moved".to_owned()],
        }
    }

    fn read_back(plan: &AppPlan, wanted: &[&str]) -> Result<Option<AppPlan>, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("image.lock");
        write(&path, plan).expect("written");
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        read(&path, &wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_without_warnings_of_then() {
        let expected = AppPlan {
            warnings: Vec::new(),
            ..plan()
        };
        assert_eq!(read_back(&plan(), &["hello", "hello"]), Ok(Some(expected)));
    }

    #[test]
    fn a_file_that_is_not_there_is_no_plan() {
        let read = read(Path::new("/nonexistent/image.lock"), &[]);
        assert!(matches!(read, Ok(None)), "{read:?}");
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let error = read(Path::new("/dev/zero"), &[]).expect_err("refused");
        assert!(error.to_string().contains("it is no file"), "{error}");
    }

    #[test]
    fn a_plan_of_other_packages_is_refused_with_both() {
        let said = read_back(&plan(), &["bc"]).expect_err("refused");
        assert!(said.contains("with hello, not with bc"), "{said}");
        let said = read_back(&plan(), &[]).expect_err("refused");
        assert!(said.contains("not with no package named"), "{said}");
    }

    #[test]
    fn a_plan_that_cannot_be_is_refused_with_the_reason() {
        type Change = fn(&mut AppPlan);
        let changes: [(&str, Change); 14] = [
            ("of \"bash\"", |p| p.packages[0].size = u64::MAX),
            ("no package's name", |p| {
                p.requested[0] = "\u{1b}[2J".to_owned()
            }),
            ("its hash", |p| p.steps[0].configure.clear()),
            ("twice", |p| p.packages.push(package("bash"))),
            ("of \"-x\"", |p| p.packages[0].package = "-x".to_owned()),
            ("of \"bash\"", |p| p.packages[0].sha256 = "A".repeat(64)),
            ("of \"bash\"", |p| p.packages[0].path = "../x".to_owned()),
            ("of \"bash\"", |p| p.packages[0].store = "y".to_owned()),
            ("of \"bash\"", |p| p.suites.clear()),
            ("a suite", |p| {
                let suite = p.suites["stable-security"].clone();
                p.suites.insert("../x".to_owned(), suite);
            }),
            ("do not install", |p| p.steps.clear()),
            ("before it is there", |p| {
                p.steps[0].configure[0] = "rm".to_owned()
            }),
            ("asked for", |p| p.roots[0] = "bc".to_owned()),
            ("its hash", |p| p.packages[0].size = 2),
        ];
        for (why, change) in changes {
            let mut plan = plan();
            change(&mut plan);
            let said = read_back(&plan, &["hello"]).expect_err(why);
            assert!(said.contains(why) && said.contains("remove it"), "{said}");
        }
    }

    #[test]
    fn a_file_of_another_kind_or_version_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("image.lock");
        for (text, why) in [
            ("", "no lock file of an image"),
            ("{}", "it has no version"),
            ("{\"version\": 4}", "missing field"),
            ("{\"version\": 2}", "has the format 2, and 4 is known"),
        ] {
            fs::write(&path, text).expect("written");
            let said = read(&path, &[]).expect_err(why).to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}

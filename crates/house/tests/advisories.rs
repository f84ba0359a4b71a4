// SPDX-License-Identifier: MIT OR Apache-2.0

//! No crate of the programs' lock has a known vulnerability. The database is not ours to carry: it is the folder that
//! `CKI_ADVISORIES` names, or where `cargo audit` keeps its copy. Without one the test is left out, and counted so.

use std::path::PathBuf;

use cki_house::advisories::{self, Advisory};
use libtest_mimic::{Arguments, Failed, Trial};
use semver::Version;

fn main() {
    let database = database();
    let about = format!(
        "no_crate_has_an_advisory ({})",
        database
            .as_ref()
            .map_or("no database".to_owned(), |path| path.display().to_string())
    );
    let absent = database.is_none();
    let trials = vec![
        Trial::test("advisories_are_read", || {
            read();
            Ok(())
        }),
        Trial::test(about, move || {
            against(&database.expect("ignored without one"))
        })
        .with_ignored_flag(absent),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn database() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CKI_ADVISORIES") {
        return Some(named.into());
    }
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let usual = home.join("advisory-db");
    usual.join("crates").is_dir().then_some(usual)
}

fn against(database: &std::path::Path) -> Result<(), Failed> {
    if !database.join("crates").is_dir() {
        return Err(format!(
            "{} is no database of advisories: it has no crates/",
            database.display()
        )
        .into());
    }
    let mut bad = Vec::new();
    for one in cki_house::crates::locked(&cki_house::root().join("Cargo.lock"))? {
        let version = Version::parse(&one.version)?;
        for advisory in advisories::about(database, &one.name)? {
            if advisory.concerns(&one.name, &version) {
                bad.push(format!("{} {}: {}", one.name, one.version, advisory.id()));
            }
        }
    }
    if bad.is_empty() {
        Ok(())
    } else {
        Err(bad.join("\n").into())
    }
}

/// The form is read as its owners define it; the crate is invented.
fn read() {
    let text = |more: &str| {
        format!(
            "```toml\n[advisory]\nid = \"RUSTSEC-2020-0001\"\npackage = \"thing\"\ndate = \"2020-01-01\"\n{more}\n\
             [versions]\npatched = [\">= 1.2.3\"]\nunaffected = [\"< 1.0.0\"]\n```\n\n# Title\n"
        )
    };
    let version = |text: &str| Version::parse(text).expect("a version");
    let advisory = Advisory::parse(&text("")).expect("an advisory");
    assert_eq!(advisory.id(), "RUSTSEC-2020-0001");
    assert!(advisory.concerns("thing", &version("1.1.0")));
    assert!(!advisory.concerns("thing", &version("1.2.3")));
    assert!(!advisory.concerns("thing", &version("0.9.0")));
    assert!(!advisory.concerns("other", &version("1.1.0")));
    let concerned = |more: &str| {
        let advisory = Advisory::parse(&text(more)).expect("an advisory");
        advisory.concerns("thing", &version("1.1.0"))
    };
    assert!(concerned("informational = \"unsound\""));
    assert!(!concerned("informational = \"unmaintained\""));
    assert!(!concerned("withdrawn = \"2020-02-02\""));
    assert!(Advisory::parse("# no block\n").is_err());
}

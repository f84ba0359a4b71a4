// SPDX-License-Identifier: MIT OR Apache-2.0

//! The crates that others wrote: where they come from, under which licences, and how often.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cki_house::crates::{Metadata, Package, duplicates, locked};
use cki_house::{root, tracked};
use spdx::{Expression, ParseMode};

/// What others' crates may be under, whatever links them: licences that ask for a notice, and nothing of the rest of
/// the program. Our programs are MIT OR Apache-2.0, so what asks for more would change under which terms they go out.
const PERMISSIVE: [&str; 10] = [
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates of which the lock has two versions, and why nothing can be done about it here. What brings the older one in
/// is `cargo tree --invert NAME@VERSION --target all`.
const TWICE: [(&str, &str); 21] = [
    ("base64", "reqwest 0.12 wants 0.22, its hyper-util 0.23"),
    (
        "bitflags",
        "vmm-sys-util, under vm-memory and virtio-queue, wants 1",
    ),
    (
        "cpufeatures",
        "sha2 0.10 wants 0.2; chacha20, of quinn-proto, which no target of ours has, 0.3",
    ),
    (
        "getrandom",
        "ring wants 0.2, rand of proptest 0.3, tempfile 0.4",
    ),
    (
        "memoffset",
        "fuse-backend-rs wants nix 0.24, which wants 0.6",
    ),
    ("mio", "fuse-backend-rs wants 0.8"),
    ("nix", "fuse-backend-rs wants 0.24"),
    (
        "r-efi",
        "two of getrandom, for machines without an operating system",
    ),
    (
        "rand",
        "proptest wants 0.9; quinn-proto, which no target of ours has, 0.10",
    ),
    ("rand_core", "two of rand"),
    (
        "syn",
        "derives of tracing and zerocopy want 2, those of serde and clap 3",
    ),
    ("vm-memory", "fuse-backend-rs 0.14 wants 0.17"),
    (
        "windows-sys",
        "ring wants 0.52, for Windows, and mio 0.8 0.48",
    ),
    ("windows-targets", "of the two windows-sys"),
    ("windows_aarch64_gnullvm", "of the two windows-sys"),
    ("windows_aarch64_msvc", "of the two windows-sys"),
    ("windows_i686_gnu", "of the two windows-sys"),
    ("windows_i686_msvc", "of the two windows-sys"),
    ("windows_x86_64_gnu", "of the two windows-sys"),
    ("windows_x86_64_gnullvm", "of the two windows-sys"),
    ("windows_x86_64_msvc", "of the two windows-sys"),
];

fn is_permissive(license: &str) -> bool {
    Expression::parse_mode(license, ParseMode::LAX).is_ok_and(|expression| {
        expression.evaluate(|requirement| {
            let name = requirement.license.to_string();
            PERMISSIVE.contains(&&*name)
        })
    })
}

#[test]
fn every_crate_of_others_is_permissive() {
    let metadata = Metadata::of(&root()).expect("the workspace");
    let others = || {
        metadata
            .packages
            .iter()
            .filter(|package| package.source.is_some())
    };
    assert!(others().count() > 100, "cargo lists what we depend on");
    let bad: Vec<_> = others()
        .filter(|package| !package.license.as_deref().is_some_and(is_permissive))
        .map(|package| {
            format!(
                "{} {}: {:?}",
                package.name, package.version, package.license
            )
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn copyleft_is_not_permissive() {
    assert!(is_permissive("MIT/Apache-2.0"));
    assert!(is_permissive("MIT OR GPL-2.0-only"));
    assert!(!is_permissive("MIT AND GPL-2.0-only"));
    assert!(!is_permissive("LGPL-2.1-or-later"));
    assert!(!is_permissive("MPL-2.0"));
}

/// A program under the GPL's version 2 alone must not link Apache-2.0, whose terms on patents it does not allow.
#[test]
fn each_program_may_link_what_it_links() {
    let metadata = Metadata::of(&root()).expect("the workspace");
    let programs: Vec<_> = metadata
        .ours()
        .filter(|package| package.is_program())
        .collect();
    assert!(
        programs.iter().any(|package| package.name == "cki-build"),
        "{programs:?}"
    );
    for program in programs {
        let linked = metadata.linked(&program.name);
        for ours in linked.iter().filter(|package| package.source.is_none()) {
            assert_eq!(
                ours.license.as_deref(),
                Some("MIT OR Apache-2.0"),
                "{} is in {}",
                ours.name,
                program.name
            );
        }
    }
}

/// The monitor is alone with the hardware: what it is made of is read here, not there.
#[test]
fn the_monitor_links_no_crate_of_others() {
    let metadata = Metadata::of(&root()).expect("the workspace");
    for monitor in ["cki-ksm-core", "cki-ksm"] {
        let linked = metadata.linked(monitor);
        assert!(
            linked.iter().any(|package| package.name == "cki-abi"),
            "{monitor}"
        );
        for package in linked {
            assert_eq!(package.source, None, "{} is in {monitor}", package.name);
        }
    }
}

#[test]
fn crates_come_from_one_registry_with_their_hashes() {
    let mut sources = BTreeSet::new();
    let locks = || {
        tracked()
            .into_iter()
            .filter(|path| path.ends_with("Cargo.lock"))
    };
    assert!(locks().any(|path| path == "Cargo.lock"));
    for path in locks() {
        for one in locked(&root().join(&path)).expect("a lock") {
            match one.source {
                None => assert_eq!(one.checksum, None, "{path}: {}", one.name),
                Some(source) => {
                    assert!(
                        source.starts_with("registry+") && source.ends_with("/crates.io-index"),
                        "{path}: {} comes from {source}",
                        one.name
                    );
                    let sum = one.checksum.unwrap_or_default();
                    assert!(sum.len() == 64, "{path}: {} has no hash", one.name);
                    sources.insert(source);
                }
            }
        }
    }
    assert_eq!(sources.len(), 1, "{sources:?}");
}

#[test]
fn no_crate_is_there_twice_without_a_reason() {
    let crates = locked(&root().join("Cargo.lock")).expect("Cargo.lock");
    let allowed: BTreeMap<_, _> = TWICE.into_iter().collect();
    let twice = duplicates(&crates);
    let unknown: Vec<_> = twice
        .iter()
        .filter(|(name, _)| !allowed.contains_key(*name))
        .collect();
    assert!(unknown.is_empty(), "twice, and not in TWICE: {unknown:?}");
    let stale: Vec<_> = allowed
        .keys()
        .filter(|name| !twice.contains_key(*name))
        .collect();
    assert!(stale.is_empty(), "in TWICE, and there once: {stale:?}");
}

/// Nix builds anew what has changed of the directories that a package names. What is not in the program is not worth
/// minutes of whoever changes it.
#[test]
fn a_package_is_built_from_what_is_in_its_program() {
    let metadata = Metadata::of(&root()).expect("the workspace");
    let directory = |manifest: &Path| {
        let relative = manifest.strip_prefix(root()).expect("ours");
        let directory = relative.parent().expect("a directory");
        directory.to_str().expect("plain").to_owned()
    };
    let mut found = Vec::new();
    for path in tracked() {
        let Some(place) = path.strip_suffix("/package.nix") else {
            continue;
        };
        let text = fs::read_to_string(root().join(&path)).expect("a file");
        // The others take sources, and no workspace.
        if !text.contains("inherit (workspace) src") {
            continue;
        }
        let members: BTreeSet<String> = members(&text).into_iter().collect();
        let ours = |package: &&Package| directory(&package.manifest_path) == place;
        let program = metadata.ours().find(ours).expect("a crate");
        let linked = metadata.linked(&program.name);
        let ours = linked.iter().filter(|package| package.source.is_none());
        let linked: BTreeSet<_> = ours
            .map(|package| directory(&package.manifest_path))
            .collect();
        assert_eq!(members, linked, "{path}");
        found.push(place.to_owned());
    }
    assert!(found.contains(&"launcher".to_owned()), "{found:?}");
}

/// The members that the `rustSource` of a package asks for.
fn members(text: &str) -> Vec<String> {
    let list = text.split_once("rustSource [").or_else(|| {
        let (_, set) = text.split_once("rustSource {")?;
        set.split_once("members = [")
    });
    let (_, list) = list.expect("a list of members");
    let (list, _) = list.split_once(']').expect("its end");
    list.split_whitespace()
        .map(|word| word.trim_matches('"').to_owned())
        .collect()
}

#[test]
fn members_are_found_in_both_forms() {
    assert_eq!(members(r#"rustSource [ "a" "b/c" ]; x ]"#), ["a", "b/c"]);
    let set = r#"rustSource { members = [ "a" ]; tested = [ "b" ]; }"#;
    assert_eq!(members(set), ["a"]);
}

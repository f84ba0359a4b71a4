// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `abi/` defines is used: a constant that nobody names says nothing to anybody, and may be wrong for years.

use std::collections::BTreeSet;
use std::fs;

use cki_house::{root, tracked};

/// What is generated from the definitions; each has them as `CKI_...`.
const HEADERS: [&str; 4] = [
    "abi/include/cki/abi.h",
    "abi/include/linux/cki_guest.h",
    "abi/include/linux/cki.h",
    "emulator/tests/rt/extension.h",
];

/// Where naming a constant is no use of it.
const ELSEWHERE: [&str; 3] = ["abi/", "crates/house/", "docs/"];

/// Tests name a constant to try it, which is no use of it; but those of the instructions are what `extension.h` is for.
fn is_test(path: &str) -> bool {
    let is_one =
        path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("_tests.rs");
    is_one && !path.starts_with("emulator/tests/")
}

/// Used by the numbers of the calls, in the header itself.
const EXCEPTIONS: [&str; 1] = ["IOC"];

/// Names that a header defines with a value, without the prefix and without sizes and offsets.
fn defined(header: &str) -> BTreeSet<String> {
    let lines = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define CKI_"));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(name, _)| name)
        .filter(|name| !name.contains('(') && !name.starts_with("SIZEOF_"))
        .filter(|name| !name.starts_with("OFFSETOF_"))
        .map(str::to_owned)
        .collect()
}

/// Of `names`, those that the file has: with their prefix, or in Rust that uses the crate without one.
fn named<'a>(path: &str, text: &'a str) -> BTreeSet<&'a str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let bare = path.ends_with(".rs") && (text.contains("cki_abi") || text.contains("cki_ksm_core"));
    words
        .filter_map(|word| word.strip_prefix("CKI_").or(bare.then_some(word)))
        .collect()
}

#[test]
fn every_constant_of_the_interfaces_is_named_by_a_program() {
    let root = root();
    let read = |path: &str| fs::read_to_string(root.join(path));
    let mut left: BTreeSet<String> = HEADERS
        .iter()
        .flat_map(|path| defined(&read(path).expect("a header")))
        .collect();
    assert!(left.len() > 200, "only {} constants", left.len());
    for name in EXCEPTIONS {
        assert!(left.remove(name), "{name} is not defined");
    }
    for path in tracked() {
        let elsewhere = ELSEWHERE.iter().any(|top| path.starts_with(top)) || is_test(&path);
        if elsewhere || HEADERS.contains(&&*path) {
            continue;
        }
        // What is no text names nothing.
        let Ok(text) = read(&path) else { continue };
        for name in named(&path, &text) {
            left.remove(name);
        }
    }
    assert!(left.is_empty(), "named by nothing outside of abi: {left:?}");
}

#[test]
fn sizes_offsets_and_macros_are_no_constants() {
    let header = "#define CKI_A 1\n#define CKI_SIZEOF_B 2\n#define CKI_OFFSETOF_B_C 3\n\
                  #define CKI_U64(x) x\n#define CKI_ABI_H\n#define OTHER 4\n";
    assert_eq!(defined(header), BTreeSet::from(["A".to_owned()]));
}

#[test]
fn a_bare_name_counts_in_rust_that_uses_the_crate() {
    let text = "use cki_abi::isa::A;\nlet b = CKI_B;";
    assert!(named("a.rs", text).is_superset(&BTreeSet::from(["A", "B"])));
    assert!(!named("a.c", text).contains("A"));
    assert!(!named("a.rs", "let a = A;").contains("A"));
}

#[test]
fn doctor_looks_for_the_device_that_the_interfaces_name() {
    let device = |path: &str| {
        let text = fs::read_to_string(root().join(path)).expect("a source");
        let value = text
            .lines()
            .find_map(|line| line.split_once("const DEVICE: &str = "));
        value.expect("the device").1.to_owned()
    };
    assert_eq!(
        device("crates/doctor/src/containers.rs"),
        device("abi/src/uapi/mod.rs")
    );
}

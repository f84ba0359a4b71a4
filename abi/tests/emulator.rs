// SPDX-License-Identifier: MIT OR Apache-2.0

//! The emulator has the numbers of [`cki_abi`] for the extension, and for its marks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cki_abi::{isa, marks};

/// What the patches define by `#define`, by its name.
fn definitions() -> BTreeMap<String, u64> {
    let patches = Path::new(env!("CARGO_MANIFEST_DIR")).join("../emulator/patches");
    let mut found = BTreeMap::new();
    for patch in fs::read_dir(patches).expect("the patches") {
        let text = fs::read_to_string(patch.expect("an entry").path()).expect("a patch");
        for line in text.lines() {
            let Some(definition) = line.strip_prefix("+#define ") else {
                continue;
            };
            let (name, value) = definition.split_once(' ').unwrap_or((definition, ""));
            if let Some(value) = value_of(value) {
                let before = found.insert(name.to_owned(), value);
                assert!(
                    before.is_none_or(|before| before == value),
                    "{name} has two values"
                );
            }
        }
    }
    found
}

/// The value of a literal, or of one shifted by another.
fn value_of(text: &str) -> Option<u64> {
    let text = text.split("/*").next().unwrap_or_default();
    let text = text.trim().trim_matches(['(', ')']);
    match text.split_once("<<") {
        Some((value, by)) => Some(literal(value)? << literal(by)?),
        None => literal(text),
    }
}

fn literal(text: &str) -> Option<u64> {
    let digits = text.trim().trim_end_matches(['U', 'L']);
    match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => digits.parse().ok(),
    }
}

#[test]
fn the_emulator_has_the_numbers_of_the_extension() {
    let definitions = definitions();
    for (name, value) in [
        ("CPUID_CKI_LEAF", isa::CPUID_LEAF),
        ("CPUID_CKI_LEAF_MAX", isa::CPUID_FEATURES_LEAF),
        ("CPUID_CKI_VENDOR_EBX", isa::CPUID_VENDOR_EBX),
        ("CPUID_CKI_VENDOR_ECX", isa::CPUID_VENDOR_ECX),
        ("CPUID_CKI_VENDOR_EDX", isa::CPUID_VENDOR_EDX),
        ("CPUID_CKI_1_EAX_CKI", isa::CPUID_FEATURES_EAX_CKI),
        ("CPUID_CKI_VERSION", isa::ISA_VERSION),
        ("MSR_CKI_CTL", isa::MSR_CTL),
        ("CKI_CTL_EN", isa::MSR_CTL_EN),
        // The patch's is of the gate's second half.
        ("GATE_CKI_PRIV_MASK", isa::GATE_PRIVILEGED >> 32),
        ("CKI_MARK", marks::MARK),
    ] {
        assert_eq!(definitions.get(name), Some(&value), "{name}");
    }
}

#[test]
fn a_definition_that_is_no_number_is_passed_over() {
    assert_eq!(value_of("0x53696b43U /* \"CkiS\" */"), Some(0x5369_6b43));
    assert_eq!(value_of("(1ULL << 3)"), Some(8));
    assert_eq!(value_of("(((S)->flags & HF_CKI_MASK) != 0)"), None);
    assert_eq!(value_of(""), None);
}

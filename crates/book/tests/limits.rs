// SPDX-License-Identifier: MIT OR Apache-2.0

//! The limits that docs/reference/limits.md gives are those of the source.

use std::path::Path;

use cki_book::tree::Tree;

/// The value of a constant's right side: a number, a product or a shift of two, or that of `Memory::constant`.
fn value(expression: &str) -> Option<u64> {
    let number = |text: &str| {
        let text = text.trim().replace('_', "");
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    };
    let expression = expression.trim();
    if let Some(mib) = expression.strip_prefix("Memory::constant(") {
        return number(mib.strip_suffix(')')?);
    }
    if let Some((left, right)) = expression.split_once("<<") {
        return number(left)?.checked_shl(u32::try_from(number(right)?).ok()?);
    }
    match expression.split_once('*') {
        Some((left, right)) => number(left)?.checked_mul(number(right)?),
        None => number(expression),
    }
}

/// The value that a source gives to the constant of this name.
fn constant(source: &str, name: &str) -> Option<u64> {
    source.lines().find_map(|line| {
        let (left, right) = line.trim().strip_suffix(';')?.split_once('=')?;
        let left = left.split(':').next()?;
        (left.split_whitespace().last()? == name).then(|| value(right))?
    })
}

#[test]
fn the_limits_are_those_of_the_source() {
    let tree = Tree::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).expect("the tree");
    let text = tree.text("docs/reference/limits.md").expect("the document");
    let mut rows = 0;
    for row in text.lines().filter(|line| line.ends_with("` |")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [what, limit, place] = cells[..] else {
            panic!("{row}")
        };
        let (file, name) = place.trim_matches('`').split_once(':').expect("a constant");
        let source = tree.text(file).expect("the source");
        let given = limit.trim_end_matches(" MiB").replace(',', "");
        let given = given.parse().unwrap_or_else(|_| panic!("{limit}"));
        assert_eq!(constant(&source, name), Some(given), "{what}");
        rows += 1;
    }
    assert!(rows > 10, "only {rows} rows");
}

/// Limits of what is asked for that are nobody's: there is a smaller one, which is in the table.
const NOBODYS: [&str; 1] = ["abi/session/src/memory.rs:MAX"];

#[test]
fn all_limits_of_what_is_asked_for_are_given() {
    let tree = Tree::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).expect("the tree");
    let text = tree.text("docs/reference/limits.md").expect("the document");
    let mut found = 0;
    let files = tree.files_below("abi/session/src/", ".rs");
    for file in files {
        let source = tree.text(file).expect("the source");
        let names = source.lines().filter_map(|line| {
            let (name, _) = line.trim().strip_prefix("pub const ")?.split_once(':')?;
            (name.starts_with("MOST") || name.starts_with("MAX") || name.ends_with("_MAX"))
                .then_some(name)
        });
        for name in names {
            let place = format!("{file}:{name}");
            let is_given = text.contains(&format!("`{place}`"));
            assert!(
                is_given || NOBODYS.contains(&&*place),
                "{place} is in no row"
            );
            found += 1;
        }
    }
    assert!(found > 5, "only {found} limits");
}

#[test]
fn constants_are_read_from_their_source() {
    let source =
        "pub const A: u32 = 1 << 4;\n    B = 0x400_0000;\nconst AA: M = Memory::constant(64);";
    assert_eq!(constant(source, "A"), Some(16));
    assert_eq!(constant(source, "B"), Some(0x400_0000));
    assert_eq!(constant(source, "AA"), Some(64));
    assert_eq!(constant(source, "C"), None);
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What documents list is complete: each file, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cki_book::tables::first_column;
use cki_book::tree::Tree;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn tree() -> Tree {
    Tree::at(&root()).expect("the tree")
}

/// The names below a directory, without their ending.
fn names(tree: &Tree, directory: &str, ending: &str) -> BTreeSet<String> {
    tree.files_below(directory, ending)
        .filter_map(|path| path.strip_prefix(directory)?.strip_suffix(ending))
        .map(str::to_owned)
        .collect()
}

/// Fails with the names that `document` does not have in code spans.
#[track_caller]
fn has_all(tree: &Tree, document: &str, names: impl IntoIterator<Item = String>) {
    let text = tree.text(document).expect("the document");
    let spans: BTreeSet<_> = text.split('`').skip(1).step_by(2).collect();
    let mut looked = 0;
    let missing: Vec<_> = names
        .into_iter()
        .inspect(|_| looked += 1)
        .filter(|name| !spans.contains(name.as_str()))
        .collect();
    assert!(looked > 0, "nothing was looked for in {document}");
    assert!(missing.is_empty(), "{document} does not name {missing:?}");
}

#[test]
fn each_directory_is_listed_once() {
    let tree = tree();
    let map = tree.text("docs/hack/hacking.md").expect("the document");
    for entry in std::fs::read_dir(root()).expect("the checkout") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') || name == "target" || name == "LICENSES";
        if entry.path().is_dir() && !hidden && !name.starts_with("result") {
            let listed = map
                .lines()
                .filter(|line| {
                    line.starts_with('|')
                        && line
                            .split('|')
                            .nth(1)
                            .is_some_and(|cell| cell.contains(&format!("`{name}/`")))
                })
                .count();
            assert_eq!(
                listed, 1,
                "docs/hack/hacking.md lists {name}/ {listed} times"
            );
        }
    }
}

#[test]
fn the_guest_kernels_files_are_all_described() {
    let tree = tree();
    let directory = "kernel/src/arch/x86/cki/";
    let files = [".c", ".S"].iter().flat_map(|ending| {
        names(&tree, directory, ending)
            .into_iter()
            .map(move |name| format!("{name}{ending}"))
    });
    has_all(&tree, "docs/understand/guest-kernel.md", files);
}

#[test]
fn the_configuration_fragments_are_all_described() {
    let tree = tree();
    let fragments = names(&tree, "kernel/config/", ".config");
    let text = tree.text("docs/reference/kernel.md").expect("the document");
    assert_eq!(first_column(&text), fragments);
}

/// The rows of a table, cell by cell.
fn cells(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").collect())
}

#[test]
fn the_patches_of_the_emulator_are_all_described_and_each_is_of_a_kind() {
    let tree = tree();
    let patches = names(&tree, "emulator/patches/", ".patch");
    let text = tree.text("emulator/patches/README.md").expect("the file");
    assert_eq!(first_column(&text), patches);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for row in cells(&text).filter(|row| row[0].starts_with('`')) {
        *kinds.entry(row[1]).or_default() += 1;
    }
    let told = [
        "QMP",
        "correction",
        "extension",
        "machine",
        "measuring",
        "speed",
    ];
    assert!(kinds.keys().copied().eq(told), "{kinds:?}");
    assert_eq!(kinds.values().sum::<usize>(), patches.len());
    // The manual has a point for each correction.
    let manual = tree.text("docs/reference/isa.md").expect("the manual");
    let section = manual.split("\n## ").find(|part| part.starts_with("11. "));
    let points = section.expect("section 11").matches("\n- ").count();
    assert_eq!(points, kinds["correction"]);
}

/// The subjects of the queue's patches.
fn subjects(tree: &Tree) -> Vec<String> {
    let mut subjects = Vec::new();
    for file in tree.files_below("kernel/patches/", ".patch") {
        // A long line of a header goes on behind a blank.
        let text = tree.text(file).expect("a patch").replace("\n ", " ");
        let subject = text
            .lines()
            .find_map(|line| line.strip_prefix("Subject: [PATCH] "))
            .unwrap_or_else(|| panic!("{file} has no subject"));
        subjects.push(subject.to_owned());
    }
    subjects
}

/// What is wrong with the patches that a text names, and how many it names: each by its subject, or several by how
/// theirs begin.
fn named_patches(text: &str, subjects: &[String]) -> (Vec<String>, usize) {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut wrong, mut named) = (Vec::new(), 0);
    for (one, marker) in [(true, "patch `"), (false, "patches `")] {
        for (at, _) in text.match_indices(marker) {
            let span = text[at + marker.len()..].split('`').next().expect("a part");
            let right = |subject: &&String| {
                if one {
                    **subject == span
                } else {
                    subject.starts_with(span)
                }
            };
            // Others are files and commands.
            if span.contains(": ") {
                named += 1;
                let found = subjects.iter().filter(right).count();
                if (one && found != 1) || (!one && found < 2) {
                    wrong.push(format!("{found} patches are `{span}`"));
                }
            }
        }
    }
    for marker in ["patch ", "patches "] {
        for (at, _) in text.to_lowercase().match_indices(marker) {
            let word = text.get(at + marker.len()..).unwrap_or_default();
            let number: String = word.chars().take_while(char::is_ascii_digit).collect();
            if number.len() == 4 {
                wrong.push(format!("a number, {number}, names a patch"));
            }
        }
    }
    (wrong, named)
}

#[test]
fn the_patches_that_documents_name_by_their_subjects_are_there() {
    let tree = tree();
    let subjects = subjects(&tree);
    assert!(subjects.len() > 20, "{}", subjects.len());
    let mut all = 0;
    let documents = tree.documents().map(|file| format!("docs/{file}"));
    for file in documents.chain(["kernel/patches/README.md".to_owned()]) {
        let (wrong, named) = named_patches(&tree.text(&file).expect("the document"), &subjects);
        assert!(wrong.is_empty(), "{file}: {wrong:?}");
        all += named;
    }
    assert!(all >= 5, "only {all} patches were recognised");
}

#[test]
fn a_patch_named_by_a_number_or_a_wrong_subject_is_found() {
    let subjects = ["a: b c".to_owned(), "a: b d".to_owned()];
    let wrong = |text| named_patches(text, &subjects).0.len();
    assert_eq!(wrong("the patch `a: b\nc`, the patches `a: b`"), 0);
    assert_eq!(wrong("the patch `a: b`"), 1);
    assert_eq!(wrong("the patches `a: b c`"), 1);
    assert_eq!(wrong("(patch 0012), patches\n0013 to 0014"), 2);
    assert_eq!(wrong("patch 2 of the patches `0001-a.patch`"), 0);
}

#[test]
fn the_tests_of_the_machine_are_all_described() {
    let tree = tree();
    let files = names(&tree, "tests/tests/", ".rs");
    has_all(
        &tree,
        "docs/hack/tests.md",
        files
            .into_iter()
            .map(|name| format!("tests/tests/{name}.rs")),
    );
}

#[test]
fn the_crates_are_all_described() {
    let tree = tree();
    let crates = tree
        .files_below("crates/", "/Cargo.toml")
        .map(|path| path.trim_end_matches("/Cargo.toml").to_owned());
    has_all(&tree, "docs/hack/hacking.md", crates);
}

#[test]
fn the_crates_are_all_in_the_picture() {
    let tree = tree();
    let picture = tree.text("docs/pictures/crates.svg").expect("the picture");
    for file in tree.files_below("crates/", "/Cargo.toml") {
        let name = file.trim_end_matches("/Cargo.toml");
        assert!(picture.contains(name), "the picture lacks {name}");
    }
}

#[test]
fn the_files_of_the_build_are_all_described() {
    let tree = tree();
    let text = tree.text("docs/hack/building.md").expect("the document");
    for path in tree.files_below("nix/", ".nix") {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        assert!(
            text.contains(path) || text.contains(&format!("{directory}/  ")),
            "docs/hack/building.md does not name {path}"
        );
    }
}

#[test]
fn pictures_are_well_formed_and_described() {
    let tree = tree();
    let mut pictures = 0;
    for path in tree.files_below("docs/pictures/", ".svg") {
        let text = tree.text(path).expect("the picture");
        let document =
            roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let svg = document.root_element();
        assert_eq!(svg.tag_name().name(), "svg", "{path}");
        let named = |name| {
            svg.children()
                .any(|node| node.has_tag_name(("http://www.w3.org/2000/svg", name)))
        };
        assert!(
            named("title") && named("desc"),
            "{path} has no title or description"
        );
        assert!(
            text.contains("prefers-color-scheme: dark"),
            "{path} has no dark colours"
        );
        inside(path, &document);
        let used = tree.documents().any(|file| {
            let name = path.rsplit('/').next().expect("a name");
            tree.text(&format!("docs/{file}"))
                .expect("the document")
                .contains(name)
        });
        assert!(used, "no document shows {path}");
        pictures += 1;
    }
    assert!(pictures >= 4, "only {pictures} pictures");
}

/// Boxes and the starts of texts lie inside of the picture.
fn inside(path: &str, document: &roxmltree::Document<'_>) {
    let view = document
        .root_element()
        .attribute("viewBox")
        .expect("a viewBox");
    let size: Vec<f64> = view
        .split(' ')
        .map(|number| number.parse().expect("a number"))
        .collect();
    for node in document
        .descendants()
        .filter(|node| matches!(node.tag_name().name(), "rect" | "text"))
    {
        let number = |name| {
            node.attribute(name)
                .map_or(0.0, |value| value.parse::<f64>().expect("a number"))
        };
        let (right, bottom) = (
            number("x") + number("width"),
            number("y") + number("height"),
        );
        assert!(
            number("x") >= 0.0 && number("y") >= 0.0 && right <= size[2] && bottom <= size[3],
            "{path}: {:?} is not inside of the picture",
            node.text()
        );
    }
}

/// Numbers such as 1,315 in some texts.
fn number(text: &str) -> Option<u64> {
    text.trim().replace(',', "").parse().ok()
}

#[test]
fn the_counts_of_the_page_fault_add_up() {
    let tree = tree();
    let text = tree
        .text("docs/understand/page-fault.md")
        .expect("the document");
    let (mut steps, mut all) = ([0, 0], None);
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, name, container, native, _] = cells[..] else {
            continue;
        };
        let (Some(container), Some(native)) = (number(container), number(native)) else {
            continue;
        };
        if name == "all" {
            all = Some([container, native]);
        } else {
            steps[0] += container;
            steps[1] += native;
        }
    }
    assert_eq!(Some(steps), all);

    let picture = tree
        .text("docs/pictures/page-fault.svg")
        .expect("the picture");
    let document = roxmltree::Document::parse(&picture).expect("a picture");
    let described = document
        .descendants()
        .find(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "desc")))
        .and_then(|node| node.text())
        .expect("a description");
    let mut drawn = 0;
    for node in document.descendants().filter(|node| {
        node.attribute("class")
            .is_some_and(|class| class.contains("count"))
    }) {
        let text = node.text().unwrap_or_default();
        drawn += number(text).expect("a number");
        assert!(
            described.contains(&format!(" {text}")),
            "the picture's description lacks {text}"
        );
    }
    assert_eq!(drawn, steps[0], "the picture and the table differ");
    let all = format!(
        "in all {}; natively {}",
        grouped(steps[0]),
        grouped(steps[1])
    );
    assert!(picture.contains(&all), "the picture does not say `{all}`");
}

/// A number below a million as documents write it: 2,264.
fn grouped(number: u64) -> String {
    format!("{},{:03}", number / 1000, number % 1000)
}

/// Where names of documents are examples.
const EXAMPLES: [&str; 2] = ["crates/book/", "crates/house/"];

#[test]
fn documents_that_the_source_names_are_there() {
    let tree = tree();
    let endings = [
        ".rs", ".c", ".h", ".S", ".s", ".nix", ".toml", ".awk", ".config", ".patch", ".sh", ".yml",
        ".md",
    ];
    let mut named = 0;
    let mut missing = Vec::new();
    for ending in endings {
        for file in tree.files_below("", ending) {
            if EXAMPLES.iter().any(|examples| file.starts_with(examples)) {
                continue;
            }
            let text = tree.text(file).expect("a source");
            for (at, _) in text.match_indices("docs/") {
                let path: String = text[at..]
                    .chars()
                    .take_while(|&c| c.is_ascii_lowercase() || "/-.".contains(c))
                    .collect();
                let whole = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '/');
                if whole && path.ends_with(".md") {
                    named += 1;
                    if !tree.has_file(&path) {
                        missing.push(format!("{file}: {path}"));
                    }
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(named > 20, "only {named} were recognised");
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The documents of this tree: what they name is there, and the site can be made of them.

use std::path::{Path, PathBuf};

use cki_book::{check, site, tree::Tree};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn links_anchors_paths_and_widths_of_the_documents_are_right() {
    let faults = check::all(&root()).expect("the documents");
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn the_site_has_a_page_for_each_document() {
    let out = tempfile::tempdir().expect("a directory");
    site::write(&root(), out.path()).expect("the site");
    let tree = Tree::at(&root()).expect("the tree");
    let mut pages = 0;
    for file in tree.documents() {
        let page = if file == "README.md" {
            "index.html".to_owned()
        } else {
            file.replace(".md", ".html")
        };
        let html = std::fs::read_to_string(out.path().join(&page)).expect("the page");
        assert!(html.contains("<h1"), "{page} has no title");
        pages += 1;
    }
    assert!(pages > 14, "only {pages} pages");
}

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
        let source = format!("source/docs/{file}.html");
        assert!(
            html.contains(&format!("{source}\">docs/{file}</a>")),
            "{page}"
        );
        assert!(out.path().join(&source).is_file(), "{source}");
        assert!(html.contains("a-z.html\">Index</a>"), "{page}");
        pages += 1;
    }
    assert!(pages > 14, "only {pages} pages");
}

#[test]
fn the_index_leads_to_what_the_pages_list() {
    let out = tempfile::tempdir().expect("a directory");
    site::write(&root(), out.path()).expect("the site");
    let read = |name: &str| std::fs::read_to_string(out.path().join(name)).expect("a page");
    let index = read("a-z.html");
    // A term of the glossary, a command, an option, a constant, a test.
    for (term, page) in [
        ("gate", "reference/glossary.html#glossary"),
        ("<code>run</code>", "reference/commands.html#run"),
        (
            "<code>--places N</code>",
            "reference/commands.html#machine-start-name",
        ),
        ("<code>CKI_RAISE_EVENT</code>", "reference/abi.html#"),
        (
            "<code>shared_frames_can_only_be_read</code>",
            "understand/threat-model.html#",
        ),
    ] {
        let found = index
            .lines()
            .find(|line| line.starts_with(&format!("<li>{term}: ")));
        let line = found.unwrap_or_else(|| panic!("the index lacks {term}"));
        assert!(line.contains(&format!("href=\"{page}")), "{line}");
    }
    let mut links = 0;
    for link in index
        .split("<li>")
        .flat_map(|entry| entry.split("href=\"").skip(1))
    {
        let (address, _) = link.split_once('"').expect("a quote");
        // Links of the index proper have an anchor.
        let Some((page, anchor)) = address.split_once('#').filter(|(page, _)| !page.is_empty())
        else {
            continue;
        };
        let html = read(page);
        assert!(html.contains(&format!("id=\"{anchor}\"")), "{address}");
        links += 1;
    }
    assert!(links > 400, "only {links} links");
}

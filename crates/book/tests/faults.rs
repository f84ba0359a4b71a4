// SPDX-License-Identifier: MIT OR Apache-2.0

//! A document with a fault is not passed over.

use std::fs;

use cki_book::check;

/// The faults of a tree with one page, `docs/try/page.md`, of this text.
fn faults(page: &str) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let contents = "# Book\n\n## Try\n\n- [Page](try/page.md): a page\n";
    for (path, text) in [
        ("README.md", "# Project\n"),
        ("docs/README.md", contents),
        ("docs/try/page.md", page),
        ("ksm/core/src/rules.rs", "pub fn judge() {}\n"),
    ] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, text).expect("a file");
    }
    if page.contains("alone") {
        fs::write(dir.path().join("docs/try/alone.md"), "# Alone\n").expect("a file");
    }
    check::all(dir.path()).expect("the documents")
}

#[track_caller]
fn one(page: &str, fault: &str) {
    assert_eq!(faults(page), [format!("docs/try/page.md: {fault}")]);
}

#[test]
fn a_page_that_is_right_has_no_faults() {
    let page = "# Page\n\n[up](../README.md#try) [here](#page) [code](../../ksm/core/src/rules.rs) `rules.rs:judge`\n";
    assert_eq!(faults(page), [""; 0]);
}

#[test]
fn a_link_to_no_file_is_found() {
    one(
        "# Page\n\n[a](gone.md)\n",
        "the link gone.md leads to no file",
    );
    one(
        "# Page\n\n[a](../../../gone.md)\n",
        "the link ../../../gone.md leads to no file",
    );
}

#[test]
fn a_link_to_no_heading_is_found() {
    one(
        "# Page\n\n[a](#gone)\n",
        "docs/try/page.md has no heading for the link #gone",
    );
    one(
        "# Page\n\n[a](../README.md#gone)\n",
        "docs/README.md has no heading for the link ../README.md#gone",
    );
}

#[test]
fn a_path_that_is_not_in_the_tree_is_found() {
    one("# Page\n\n`ksm/gone`\n", "`ksm/gone` is not in the tree");
    one(
        "# Page\n\n`rules.rs:gone`\n",
        "`rules.rs:gone` is not in the tree",
    );
    one(
        "# Page\n\n| a |\n|---|\n| `gone.rs` |\n",
        "`gone.rs` is not in the tree",
    );
}

#[test]
fn a_picture_without_a_description_is_found() {
    one(
        "# Page\n\n![](../../ksm/core/src/rules.rs)\n",
        "the picture ../../ksm/core/src/rules.rs has no description",
    );
}

#[test]
fn a_wide_line_is_found_outside_of_tables() {
    let wide = "word ".repeat(21);
    one(
        &format!("# Page\n\n{}\n", wide.trim_end()),
        "line 3 has 104 characters, more than 100",
    );
    assert_eq!(faults(&format!("# Page\n\n| {wide} |\n|---|\n")), [""; 0]);
}

#[test]
fn code_that_is_broken_over_two_lines_is_found() {
    one(
        "# Page\n\nType `cki-build\nrun` there.\n",
        "line 3: code is broken over two lines",
    );
}

#[test]
fn a_page_that_the_contents_do_not_list_is_found() {
    assert_eq!(
        faults("# Not alone\n"),
        ["docs/README.md: does not list try/alone.md"]
    );
}

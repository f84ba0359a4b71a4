// SPDX-License-Identifier: MIT OR Apache-2.0

//! `CITATION.cff` says of the paper what the page of comparisons says, and has the version of the crates.

use std::fs;

use cki_house::root;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Citation {
    cff_version: String,
    version: String,
    message: String,
    references: Vec<Paper>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Paper {
    title: String,
    authors: Vec<Author>,
    collection_title: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Author {
    given_names: String,
    family_names: String,
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a file")
}

fn citation() -> Citation {
    serde_yaml_ng::from_str(&read("CITATION.cff")).expect("a citation")
}

#[test]
fn the_citation_names_the_paper_as_the_book_does() {
    let page = read("docs/understand/comparison.md");
    let (_, papers) = page.split_once("\n## The papers\n").expect("the section");
    let papers = papers.split("\n## ").next().unwrap_or(papers);
    let words: Vec<_> = papers.split_whitespace().collect();
    let papers = words.join(" ");
    let citation = citation();
    let [paper] = &citation.references[..] else {
        panic!("one paper: {citation:?}")
    };
    let authors = paper.authors.iter();
    let names: Vec<_> = authors
        .map(|name| format!("{} {}", name.given_names, name.family_names))
        .collect();
    let (last, others) = names.split_last().expect("authors");
    let said = format!(
        "\"{}\" by {} and {last}, {}.",
        paper.title,
        others.join(", "),
        paper.collection_title
    );
    assert!(papers.contains(&said), "the page does not say: {said}");
}

#[test]
fn the_citation_has_the_version_of_the_crates() {
    let citation = citation();
    let version = format!("\nversion = \"{}\"\n", citation.version);
    assert!(read("Cargo.toml").contains(&version), "{version}");
    assert_eq!(citation.cff_version, "1.2.0");
    // The format demands it.
    assert!(!citation.message.is_empty());
}

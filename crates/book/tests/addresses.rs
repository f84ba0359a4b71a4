// SPDX-License-Identifier: MIT OR Apache-2.0

//! The addresses of this copy: one table has them, and what is not filled in reads like no address.

use std::path::{Path, PathBuf};

use cki_book::tree::Tree;

/// What the table says where nobody has filled it in.
const EMPTY: &str = "not filled in";

/// Whom documents may name who is not us.
const OTHERS: [&str; 3] = [
    "https://developercertificate.org",
    "https://keepachangelog.com",
    // An example: nobody has it (RFC 5737).
    "http://192.0.2.7",
];

fn tree() -> Tree {
    Tree::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).expect("the tree")
}

/// The three addresses of SECURITY.md's table: sources, form, mail.
fn addresses(tree: &Tree) -> [String; 3] {
    let text = tree.text("SECURITY.md").expect("the document");
    let (_, section) = text
        .split_once("\n## Where this copy lives\n")
        .expect("the section");
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells: Vec<String> = rows
        .skip(1)
        .map(|row| row.split('|').nth(2).unwrap_or_default().trim().to_owned())
        .collect();
    cells.try_into().expect("three rows")
}

/// All that looks like an address of somebody in a text: with a scheme, or a mail's.
fn found(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| c.is_whitespace() || "()<>\"'`|".contains(c));
    let is_mail = |word: &str| {
        word.split_once('@').is_some_and(|(user, host)| {
            let host = host.trim_end_matches(['.', ',', ';']);
            // Units of systemd look alike.
            !user.is_empty() && host.contains('.') && !host.ends_with(".service")
        })
    };
    let schemes = ["https://", "http://", "ssh://", "git://", "mailto:"];
    words
        .filter(|word| schemes.iter().any(|scheme| word.starts_with(scheme)) || is_mail(word))
        .collect()
}

#[test]
fn only_one_table_has_addresses_of_this_copy() {
    let tree = tree();
    let addresses = addresses(&tree);
    let [sources, form, mail] = &addresses;
    assert!(sources == EMPTY || sources.contains(':'), "{sources}");
    assert!(form == EMPTY || form.starts_with("https://"), "{form}");
    assert!(mail == EMPTY || mail.contains('@'), "{mail}");
    let mut files: Vec<PathBuf> = Vec::new();
    for (directory, ending) in [("", ".md"), (".github/", ".yml")] {
        files.extend(tree.files_below(directory, ending).map(PathBuf::from));
    }
    assert!(files.iter().any(|file| file.ends_with("config.yml")));
    let mut wrong = Vec::new();
    for file in files {
        let name = file.to_str().expect("text");
        let text = tree.text(name).expect("a file");
        for address in found(&text) {
            let others = OTHERS.iter().any(|other| {
                address
                    .strip_prefix(other)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
            });
            // Nobody has a name below .invalid, nor ever will (RFC 2606).
            let nobodys = address.trim_end_matches('/').ends_with(".invalid");
            if !others && !nobodys && !addresses.iter().any(|ours| ours.contains(address)) {
                wrong.push(format!("{name}: {address}"));
            }
        }
        for (at, clone) in text.match_indices("git clone ") {
            let what = text[at + clone.len()..].split_whitespace().next();
            let what = what.unwrap_or_default().trim_matches(['`', '.', ',']);
            // A word for the reader to fill in, or this copy's own.
            if what != "ADDRESS" && what != sources {
                wrong.push(format!("{name}: git clone {what}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn whoever_would_open_an_issue_is_led_to_the_private_form() {
    let tree = tree();
    let [_, form, _] = addresses(&tree);
    let config = tree
        .text(".github/ISSUE_TEMPLATE/config.yml")
        .expect("the file");
    let url = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("url: "))
        .expect("a link for private reports");
    match form.as_str() {
        EMPTY => assert_eq!(url, "https://not-filled-in.invalid/"),
        form => assert_eq!(url, form, "config.yml has another address than SECURITY.md"),
    }
    assert!(config.contains("SECURITY.md"));
    let security = tree.text("SECURITY.md").expect("the document");
    assert!(security.contains("tell whoever you have the copy from"));
}

#[test]
fn addresses_are_found_where_they_are() {
    let text = "see https://example.com/x, (http://a.b) or <me@home.example>, cki@web.service, a@b";
    assert_eq!(
        found(text),
        ["https://example.com/x,", "http://a.b", "me@home.example"]
    );
}

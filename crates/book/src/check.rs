// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a document may not have: a link or an anchor that leads nowhere, a path that is not in the tree, a picture
//! without a description, a line that is too wide, code that is broken over two lines, a page that the table of
//! contents does not list. And what a picture may not have: a label that is not in the tree, a colour that only
//! browsers know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use crate::BookError;
use crate::contents::parts;
use crate::links::{MARKDOWN, Target, destinations, headings, target};
use crate::paths::resolve;
use crate::tree::{Named, Tree};

/// How wide a line of a document may be, in characters. Rows of tables are as wide as they have to be.
pub const WIDTH: usize = 100;

/// Paths that documents name and that are not in the tree, each with where it is.
const ELSEWHERE: &[(&str, &str)] = &[
    ("boot.json", "an output of cki-host"),
    ("manifest.json", "in a release"),
    ("manifest.json.sig", "in a release"),
    ("provenance.json", "in a release"),
    ("sbom.cdx.json", "in a release"),
    ("sbom.spdx.json", "in a release"),
    ("modules.boot", "an output of cki-host-debian"),
    ("dists/", "of a Debian archive"),
    ("pool/", "of a Debian archive"),
    ("hw/i386/cki-probe.c", "a patch of ours adds it to QEMU"),
    (
        "target/i386/tcg/events.h",
        "a patch of ours adds it to QEMU",
    ),
];

/// All faults of the documents in the tree at `root`, each a sentence.
///
/// # Errors
///
/// [`BookError`] when the documents cannot be read at all.
pub fn all(root: &Path) -> Result<Vec<String>, BookError> {
    let tree = Tree::at(root)?;
    let mut faults = listed(&tree, root)?;
    let files: Vec<_> = tree.files_below("", ".md").map(str::to_owned).collect();
    let mut anchors = BTreeMap::new();
    for file in &files {
        let known: BTreeSet<_> = headings(&tree.text(file)?)
            .into_iter()
            .map(|h| h.anchor)
            .collect();
        anchors.insert(file.clone(), known);
    }
    for file in &files {
        let text = tree.text(file)?;
        let mut found = links(&tree, file, &text, &anchors);
        found.extend(paths(&tree, &text));
        found.extend(pictures(&text));
        found.extend(wide(&text));
        found.extend(broken(&text));
        faults.extend(found.into_iter().map(|fault| format!("{file}: {fault}")));
    }
    let drawn: Vec<_> = tree
        .files_below("docs/", ".svg")
        .map(str::to_owned)
        .collect();
    for file in &drawn {
        let text = tree.text(file)?;
        let mut found = labels(&tree, &text);
        found.extend(colours(&text));
        faults.extend(found.into_iter().map(|fault| format!("{file}: {fault}")));
    }
    Ok(faults)
}

/// A text of a picture that is code, such as `gates.s: exit_to_host`, is in the tree as code in a document.
fn labels(tree: &Tree, picture: &str) -> Vec<String> {
    let texts = picture.split("<text ").skip(1);
    let code = texts.filter_map(|text| {
        let (attributes, rest) = text.split_once('>')?;
        let label = rest.split_once('<')?.0;
        attributes
            .contains("\"code\"")
            .then(|| label.replace(": ", ":"))
    });
    code.filter_map(|label| match tree.named(&label) {
        Named::Missing(what) => Some(format!("the label `{what}` is not in the tree")),
        _ => None,
    })
    .collect()
}

/// Before a colour by a variable stands the same one in figures: most viewers but browsers know no variables, and paint
/// black what has no other colour.
fn colours(picture: &str) -> Vec<String> {
    let declarations: Vec<_> = picture.split([';', '{', '}']).map(str::trim).collect();
    let plain = |(before, declaration): (&&str, &&str)| {
        let (name, value) = declaration.split_once(": ")?;
        let same = before.split_once(": ").filter(|(other, _)| *other == name);
        let covered = same.is_some_and(|(_, value)| value.starts_with('#'));
        (value.starts_with("var(") && !covered)
            .then(|| format!("`{declaration}` without a colour before it"))
    };
    declarations
        .iter()
        .zip(declarations.iter().skip(1))
        .filter_map(plain)
        .collect()
}

/// Each document is in the table of contents, once.
fn listed(tree: &Tree, root: &Path) -> Result<Vec<String>, BookError> {
    let parts = parts(root)?;
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in parts.iter().flat_map(|part| &part.pages) {
        if !seen.insert(entry.file.as_str()) {
            faults.push(format!("docs/README.md: lists {} twice", entry.file));
        }
    }
    for file in tree.documents().filter(|file| *file != "README.md") {
        if !seen.contains(file) {
            faults.push(format!("docs/README.md: does not list {file}"));
        }
    }
    Ok(faults)
}

fn links(
    tree: &Tree,
    file: &str,
    text: &str,
    anchors: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let mut faults = Vec::new();
    for destination in destinations(text) {
        let Target::Here { path, anchor } = target(&destination) else {
            continue;
        };
        let there = if path.is_empty() {
            Some(file.to_owned())
        } else {
            resolve(file, path)
        };
        // The site has no pages of directories; a forge has.
        let shown = |there: &String| {
            tree.has_file(there) || !file.starts_with("docs/") && tree.has_directory(there)
        };
        let Some(there) = there.filter(shown) else {
            faults.push(format!("the link {destination} leads to no file"));
            continue;
        };
        let known = anchors.get(&there);
        if !anchor.is_empty() && known.is_some_and(|known| !known.contains(anchor)) {
            faults.push(format!("{there} has no heading for the link {destination}"));
        }
    }
    faults
}

/// Code spans that look like paths of the tree are.
fn paths(tree: &Tree, text: &str) -> Vec<String> {
    Parser::new_ext(text, MARKDOWN)
        .filter_map(|event| match event {
            Event::Code(code) if !ELSEWHERE.iter().any(|(path, _)| *path == code.as_ref()) => {
                match tree.named(&code) {
                    Named::Missing(what) => Some(format!("`{what}` is not in the tree")),
                    _ => None,
                }
            }
            _ => None,
        })
        .collect()
}

fn pictures(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut described = true;
    let mut open = None;
    for event in Parser::new_ext(text, MARKDOWN) {
        match event {
            Event::Start(Tag::Image { dest_url, .. }) => {
                open = Some(dest_url.into_string());
                described = false;
            }
            Event::Text(_) => described = true,
            Event::End(TagEnd::Image) => {
                if let (false, Some(picture)) = (described, open.take()) {
                    faults.push(format!("the picture {picture} has no description"));
                }
            }
            _ => {}
        }
    }
    faults
}

fn wide(text: &str) -> Vec<String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| line.chars().count() > WIDTH && !line.starts_with(['|', '#']))
        // What cannot be broken, such as an address, may be alone on its line.
        .filter(|(_, line)| line.trim().contains(' '))
        .map(|(index, line)| {
            format!(
                "line {} has {} characters, more than {WIDTH}",
                index + 1,
                line.chars().count()
            )
        })
        .collect()
}

/// Code in a sentence that is broken over two lines: what is typed would have a space more, or less.
fn broken(text: &str) -> Vec<String> {
    Parser::new_ext(text, MARKDOWN)
        .into_offset_iter()
        .filter(|(event, at)| matches!(event, Event::Code(_)) && text[at.clone()].contains('\n'))
        .map(|(_, at)| {
            let line = text[..at.start].lines().count();
            format!("line {line}: code is broken over two lines")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_that_only_browsers_know_is_found() {
        let good = ".a { fill: #ffffff; fill: var(--paper); stroke: #000000; stroke: var(--ink); }";
        assert_eq!(colours(good), [""; 0]);
        for bad in [
            ".a { fill: var(--paper); }",
            ".a { stroke: #ffffff; fill: var(--paper); }",
            ".a { fill: #ffffff; } .b { fill: var(--paper); }",
        ] {
            assert_eq!(colours(bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_label_that_is_not_in_the_tree_is_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tree = Tree::at(&root).unwrap();
        let label = |text: &str| format!("<text class=\"code\" x=\"1\">{text}</text>");
        assert_eq!(labels(&tree, &label("gates.s: exit_to_host")), [""; 0]);
        assert_eq!(labels(&tree, &label("gates.s: no_such_name")).len(), 1);
        assert_eq!(
            labels(&tree, "<text x=\"1\">gates.s: no_such_name</text>"),
            [""; 0]
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `docs/reference/session.md`, from the sources of `abi/session`: its types are their own description, so they are
//! read here as text.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::forms;
use crate::text::{cell, module_doc, prose};

const HEAD: &str = "\
# The session protocol

What `cki-build`, the launcher and init say to each other. This page is generated from the sources
in `abi/session`; do not edit it. This writes it, and `check` compares it:

    CKI_WRITE=1 cargo test -p cki-tests --test interfaces

The types of fields are Rust's. Those that are a text or a number in JSON are in [a table of their
own](#texts-and-numbers). [session.schema.json](session.schema.json) says for machines what this
page says for people: a JSON Schema (2020-12), with the messages at `#/$defs/Request` and
`#/$defs/Event`, from which clients can be generated. A validator has to be told to assert `format`
(of addresses), which many only note. What it then takes has the right form; whether it can be
carried out, the server says.

";

/// The sources, in the page's order.
const SOURCES: [&str; 16] = [
    "request",
    "process",
    "root",
    "volume",
    "disk",
    "network",
    "rate",
    "interface",
    "terminal",
    "user",
    "limit",
    "capability",
    "exec",
    "serve",
    "event",
    "outcome",
];

/// The whole page.
pub fn page(root: &Path) -> String {
    let dir = root.join("abi/session/src");
    let source = |name: &str| {
        let path = dir.join(format!("{name}.rs"));
        fs::read_to_string(path).expect("a source")
    };
    let mut out = HEAD.to_owned();
    let _ = writeln!(out, "The version is {}.\n", cki_session::VERSION);
    out.push_str(&overview(&source("lib")));
    out.push_str("\n## Features\n\n| name | part of a request |\n|---|---|\n");
    let mut features: Vec<_> = ["request", "process"]
        .iter()
        .flat_map(|name| features(&source(name)))
        .collect();
    features.sort();
    for (name, doc) in features {
        let _ = writeln!(out, "| `{name}` | {doc} |");
    }
    for item in all_items(root) {
        item.write(&mut out);
    }
    out.push_str(&forms::table());
    out
}

/// What goes over the wire as an object or a name, in the page's order.
pub fn all_items(root: &Path) -> Vec<Item> {
    let read = |name: &&str| {
        let path = root.join("abi/session/src").join(format!("{name}.rs"));
        items(&fs::read_to_string(path).expect("a source"))
    };
    SOURCES.iter().flat_map(read).collect()
}

/// What the crate's head says, up to who uses it.
fn overview(source: &str) -> String {
    let doc = module_doc(source);
    let end = doc
        .iter()
        .position(|line| line.trim().starts_with("Used by:"));
    prose(&doc[1..end.expect("who uses it")])
}

/// Names of features, and what each is for.
fn features(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut doc = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.to_owned());
        } else {
            let value = line.strip_prefix("pub const ").and_then(|rest| {
                let (_, value) = rest.split_once(": &str = \"")?;
                value.strip_suffix("\";")
            });
            // Other constants of these files are defaults.
            if let (Some(value), [first, ..]) = (value, &doc[..]) {
                if first.contains("[`") {
                    found.push((value.to_owned(), cell(&doc)));
                }
            }
            doc.clear();
        }
    }
    found
}

/// A structure or enumeration that goes over the wire.
pub struct Item {
    pub name: String,
    pub doc: Vec<String>,
    /// Those of serde, as they stand there.
    pub attributes: String,
    pub is_enum: bool,
    pub rows: Vec<Row>,
}

/// A field; or a variant, behind which its fields follow (`signal: id`).
#[derive(Clone)]
pub struct Row {
    pub name: String,
    pub kind: String,
    pub doc: Vec<String>,
    /// Whether a message may leave it out.
    pub is_optional: bool,
}

impl Item {
    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "\n## {}\n\n{}", self.name, prose(&self.doc));
        out.push_str("| name | type | meaning |\n|---|---|---|\n");
        for row in &self.rows {
            let kind = match row.kind.as_str() {
                "" => String::new(),
                kind => format!("`{kind}`"),
            };
            let _ = writeln!(out, "| `{}` | {kind} | {} |", row.name, cell(&row.doc));
        }
    }
}

/// The types of a source that are objects or names in JSON: not those that are made from a text or a number.
fn items(source: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let (mut doc, mut attributes, mut open) = (Vec::new(), String::new(), false);
    let mut variant = String::new();
    for line in source.lines() {
        let text = line.trim();
        if let Some(comment) = text.strip_prefix("///") {
            doc.push(comment.trim().to_owned());
            continue;
        }
        if text.starts_with("#[") {
            attributes.push_str(text);
            continue;
        }
        let (doc, attributes) = (std::mem::take(&mut doc), std::mem::take(&mut attributes));
        if open {
            let item = items.last_mut().expect("an open item");
            open = line != "}";
            if text == "}," {
                variant.clear();
            } else if let Some((name, kind)) = text
                .trim_end_matches(',')
                .strip_prefix("pub ")
                .and_then(|field| field.split_once(": "))
            {
                item.push(name, kind, doc, &attributes);
            } else if !variant.is_empty() {
                if let Some((name, kind)) = text.trim_end_matches(',').split_once(": ") {
                    item.push(&format!("{variant}: {name}"), kind, doc, &attributes);
                }
            } else if text.starts_with(|c: char| c.is_ascii_uppercase()) {
                let name = text.split([',', '(', ' ', '{']).next().unwrap_or_default();
                let name = kebab(name);
                let kind = text.split_once('(').map_or("", |(_, kind)| kind);
                let kind = kind.trim_end_matches(',').trim_end_matches(')');
                item.push(&name, kind, doc, &attributes);
                if text.ends_with('{') {
                    variant = name;
                }
            }
        } else if attributes.contains("Serialize") && !attributes.contains("into = ") {
            let name = ["pub struct ", "pub enum "]
                .iter()
                .find_map(|word| text.strip_prefix(word)?.strip_suffix(" {"));
            if let Some(name) = name {
                items.push(Item {
                    name: name.to_owned(),
                    doc,
                    attributes,
                    is_enum: text.starts_with("pub enum "),
                    rows: Vec::new(),
                });
                open = true;
            }
        }
    }
    items
}

impl Item {
    fn push(&mut self, name: &str, kind: &str, doc: Vec<String>, attributes: &str) {
        if !attributes.contains("serde(skip)") && !attributes.contains("serde(other") {
            // A box is the same in JSON.
            let kind = match kind.strip_prefix("Box<").and_then(|k| k.strip_suffix('>')) {
                Some(inner) => inner.to_owned(),
                None => kind.to_owned(),
            };
            self.rows.push(Row {
                name: name.to_owned(),
                is_optional: attributes.contains("default") || kind.starts_with("Option<"),
                kind,
                doc,
            });
        }
    }
}

/// `NotFound` as `not-found`.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

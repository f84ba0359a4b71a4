// SPDX-License-Identifier: MIT OR Apache-2.0

//! Links of a Markdown file, and the anchors of its headings.

use std::collections::BTreeMap;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The Markdown that the documents may use.
pub const MARKDOWN: Options = Options::ENABLE_TABLES.union(Options::ENABLE_FOOTNOTES);

/// A heading of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// 1 to 6.
    pub level: u8,
    /// Its text without formatting.
    pub text: String,
    /// What `#` links to it say.
    pub anchor: String,
}

/// What a link of a page refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// Something with a scheme, outside of the tree.
    Elsewhere,
    /// A file, from the directory of the page, with the anchor in it; an empty path is the page itself.
    Here {
        /// The path.
        path: &'a str,
        /// Behind `#`; empty if there is none.
        anchor: &'a str,
    },
}

/// Splits the destination of a link.
pub fn target(destination: &str) -> Target<'_> {
    if destination.contains("://") || destination.starts_with("mailto:") {
        return Target::Elsewhere;
    }
    let (path, anchor) = destination.split_once('#').unwrap_or((destination, ""));
    Target::Here { path, anchor }
}

/// All destinations of links and pictures in a page.
pub fn destinations(markdown: &str) -> Vec<String> {
    Parser::new_ext(markdown, MARKDOWN)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.into_string())
            }
            _ => None,
        })
        .collect()
}

/// The headings of a page, in order, each with an anchor that no other one has.
pub fn headings(markdown: &str) -> Vec<Heading> {
    let mut found = Vec::new();
    let mut used = BTreeMap::new();
    let mut open: Option<String> = None;
    for event in Parser::new_ext(markdown, MARKDOWN) {
        match event {
            Event::Start(Tag::Heading { .. }) => open = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut open {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(level)) => {
                let text = open.take().unwrap_or_default();
                let base = anchor(&text);
                let times = used.entry(base.clone()).or_insert(0_u32);
                let unique = if *times == 0 {
                    base
                } else {
                    format!("{base}-{times}")
                };
                *times += 1;
                found.push(Heading {
                    level: level as u8,
                    text,
                    anchor: unique,
                });
            }
            _ => {}
        }
    }
    found
}

/// The anchor of a heading by the rule that software forges use: lower case, spaces become hyphens, and of other
/// characters only letters, digits, `-` and `_` stay.
fn anchor(text: &str) -> String {
    text.trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_follow_the_rule_of_forges() {
        let headings = headings("# Where `a_b` is: today\n\n## Tests\n\n## Tests\n");
        let anchors: Vec<_> = headings
            .iter()
            .map(|h| (h.level, h.anchor.as_str()))
            .collect();
        assert_eq!(
            anchors,
            [(1, "where-a_b-is-today"), (2, "tests"), (2, "tests-1")]
        );
    }

    #[test]
    fn a_link_is_split_into_path_and_anchor() {
        assert_eq!(target("https://example.org/#x"), Target::Elsewhere);
        assert_eq!(
            target("a.md#b"),
            Target::Here {
                path: "a.md",
                anchor: "b"
            }
        );
        assert_eq!(
            target("#b"),
            Target::Here {
                path: "",
                anchor: "b"
            }
        );
        assert_eq!(
            destinations("[a](b.md) ![c](d.svg) `[e](f)`"),
            ["b.md", "d.svg"]
        );
    }
}

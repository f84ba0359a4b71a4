// SPDX-License-Identifier: MIT OR Apache-2.0

//! The order of the pages. `docs/README.md` is the table of contents: each heading of level 2 is a part, each list
//! item below it a page, `- [title](path): what it is about`.

use std::path::Path;

use crate::{BookError, read};

/// A page as the table of contents lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its title in the navigation.
    pub title: String,
    /// Its Markdown file below `docs/`.
    pub file: String,
}

/// A part of the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its heading.
    pub title: String,
    /// Its pages in their order.
    pub pages: Vec<Entry>,
}

/// The parts of the book in the tree at `tree`.
///
/// # Errors
///
/// [`BookError::Io`] when `docs/README.md` cannot be read, [`BookError::Contents`] when it lists nothing or an item
/// is not a link.
pub fn parts(tree: &Path) -> Result<Vec<Part>, BookError> {
    parse(&read(tree.join("docs/README.md"))?)
}

fn parse(text: &str) -> Result<Vec<Part>, BookError> {
    let mut parts: Vec<Part> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            parts.push(Part {
                title: title.to_owned(),
                pages: Vec::new(),
            });
        } else if let (Some(item), Some(part)) = (line.strip_prefix("- "), parts.last_mut()) {
            part.pages.push(entry(item).ok_or_else(|| {
                BookError::Contents(format!(
                    "an item is `- [title](file.md): ...`, not `{line}`"
                ))
            })?);
        }
    }
    parts.retain(|part| !part.pages.is_empty());
    if parts.is_empty() {
        return Err(BookError::Contents("no part with pages".to_owned()));
    }
    Ok(parts)
}

fn entry(item: &str) -> Option<Entry> {
    let (title, rest) = item.strip_prefix('[')?.split_once("](")?;
    let (file, _) = rest.split_once(')')?;
    file.ends_with(".md").then(|| Entry {
        title: title.to_owned(),
        file: file.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_pages_come_in_the_order_of_the_list() {
        let parts = parse("# Book\n\n## One\n\n- [A](one/a.md): first\n  goes on\n- [B](b.md): second\n\n## Two\n\n\
            - [C](c.md)\n")
            .expect("a table of contents");
        let files: Vec<_> = parts
            .iter()
            .map(|part| {
                let pages: Vec<_> = part.pages.iter().map(|page| page.file.as_str()).collect();
                (part.title.as_str(), pages)
            })
            .collect();
        assert_eq!(
            files,
            [("One", vec!["one/a.md", "b.md"]), ("Two", vec!["c.md"])]
        );
    }

    #[test]
    fn an_item_without_a_page_is_an_error() {
        assert!(parse("## One\n- just words\n").is_err());
        assert!(parse("no parts at all\n").is_err());
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! A source file as a page, with numbered lines that links can lead to.

use std::fmt::Write as _;

use crate::page::{Page, escape};

/// The page of the file `path` with this text.
pub fn page(path: &str, text: &str) -> Page {
    let mut html = format!("<h1>{}</h1>\n<pre class=\"lines\">", escape(path));
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        // A span is a block: a newline would be an empty line.
        let _ = write!(
            html,
            "<span id=\"L{number}\"><a href=\"#L{number}\">{number}</a>{}</span>",
            escape(line)
        );
    }
    html.push_str("</pre>\n");
    Page {
        title: path.to_owned(),
        headings: Vec::new(),
        html,
    }
}

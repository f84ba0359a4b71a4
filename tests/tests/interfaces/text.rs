// SPDX-License-Identifier: MIT OR Apache-2.0

//! Documentation of Rust items as Markdown of the book.

use std::fmt::Write as _;

/// Columns of a line that is no row of a table.
const WIDTH: usize = 100;

/// The lines of a doc comment as one line, for those who know nothing of Markdown but code in it.
pub fn sentence(doc: &[impl AsRef<str>]) -> String {
    let lines: Vec<_> = doc.iter().map(|line| line.as_ref().trim()).collect();
    without_links(&lines.join(" ")).trim().to_owned()
}

/// The lines of a doc comment as one line, for a cell of a table.
pub fn cell(doc: &[impl AsRef<str>]) -> String {
    let lines: Vec<_> = doc.iter().map(|line| line.as_ref().trim()).collect();
    plain(&lines.join(" ")).trim().replace('|', "\\|")
}

/// A text without links to items, and with nothing outside of code that Markdown has another meaning for.
pub fn plain(text: &str) -> String {
    let text = without_links(text);
    let parts = text.split('`').enumerate().map(|(index, part)| {
        // Every second part is code.
        if index % 2 == 1 {
            return part.to_owned();
        }
        // A star behind a name stands for the rest of it.
        ["_*", "<", "["].iter().fold(part.to_owned(), |part, from| {
            let (before, last) = from.split_at(from.len() - 1);
            part.replace(from, &format!("{before}\\{last}"))
        })
    });
    parts.collect::<Vec<_>>().join("`")
}

/// ``[`a`](b)`` and ``[`a`]`` become `` `a` ``, `[a](b)` becomes `a`.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let Some((label, behind)) = after.split_once(']') else {
            out.push('[');
            rest = after;
            continue;
        };
        let target = behind.strip_prefix('(').and_then(|b| b.split_once(')'));
        let is_code = label.starts_with('`');
        match target {
            Some((_, behind)) => {
                out.push_str(label);
                rest = behind;
            }
            None if is_code => {
                out.push_str(label);
                rest = behind;
            }
            None => {
                out.push('[');
                rest = after;
            }
        }
    }
    out + rest
}

/// Paragraphs, lists, tables and blocks of code as they are, wrapped anew; headings are bold.
pub fn prose(lines: &[impl AsRef<str>]) -> String {
    let mut out = String::new();
    let mut paragraph = String::new();
    let mut is_code = false;
    for line in lines.iter().map(AsRef::as_ref).chain([""]) {
        if line.trim().starts_with("```") {
            if !paragraph.is_empty() {
                wrap(&plain(&paragraph), &mut out);
                paragraph.clear();
            }
            is_code = !is_code;
            out.push_str(if is_code { "```text\n" } else { "```\n" });
            continue;
        }
        if is_code {
            let line = line.strip_prefix(' ').unwrap_or(line);
            narrow(&without_links(line), &mut out);
            continue;
        }
        let line = line.trim();
        let begins = line.is_empty() || line.starts_with(['|', '#']) || line.starts_with("- ");
        if begins && !paragraph.is_empty() {
            wrap(&plain(&paragraph), &mut out);
            paragraph.clear();
        }
        if line.is_empty() {
            if !out.ends_with("\n\n") {
                out.push('\n');
            }
        } else if line.starts_with('|') {
            let _ = writeln!(out, "{}", without_links(line));
        } else if let Some(heading) = line.strip_prefix('#') {
            let _ = writeln!(out, "**{}.**", heading.trim_start_matches(['#', ' ']));
        } else {
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(line);
        }
    }
    out.trim().to_owned() + "\n"
}

/// A line of a drawing; what does not fit goes on below, indented.
fn narrow(line: &str, out: &mut String) {
    let mut rest = line.to_owned();
    while rest.chars().count() > WIDTH {
        let Some(at) = rest
            .char_indices()
            .take(WIDTH)
            .filter(|(_, c)| *c == ' ')
            .last()
        else {
            break;
        };
        let (line, more) = rest.split_at(at.0);
        let _ = writeln!(out, "{}", line.trim_end());
        rest = format!("    {}", more.trim_start());
    }
    let _ = writeln!(out, "{rest}");
}

fn wrap(text: &str, out: &mut String) {
    let indent = if text.starts_with("- ") { "  " } else { "" };
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}

/// The `//!` lines of a source.
pub fn module_doc(source: &str) -> Vec<&str> {
    let lines = source.lines().skip_while(|line| !line.starts_with("//!"));
    lines.map_while(|line| line.strip_prefix("//!")).collect()
}

#[test]
fn links_to_items_are_their_names_and_brackets_stay() {
    let text = plain("[`A::b`](crate::A), [`C`], [like this](x), 7:0[3] and f(a) -> <b>");
    assert_eq!(text, "`A::b`, `C`, like this, 7:0\\[3] and f(a) -> \\<b>");
    assert_eq!(cell(&["a | b", "CKI_*"]), "a \\| b CKI_\\*");
}

#[test]
fn long_lines_are_wrapped_and_tables_are_not() {
    let long = "word ".repeat(40);
    let text = prose(&[
        long.as_str(),
        "",
        "| a | b |",
        "- item",
        "```",
        "   x",
        "```",
    ]);
    assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
    let end = "\n| a | b |\n- item\n```text\n  x\n```\n";
    assert!(text.ends_with(end), "{text}");
}

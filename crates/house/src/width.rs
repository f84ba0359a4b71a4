// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines of a Rust file that are too wide. rustfmt breaks code, and leaves comments and literals as they are.

use crate::source::{comment, is_word, literal};

/// Numbers, from 1 on, of the lines of `text` that have more than `most` characters. What stands in a raw literal does
/// not count: it is in another form, such as JSON, where a line may not be broken.
#[must_use]
pub fn too_wide(text: &str, most: usize) -> Vec<usize> {
    let whole: Vec<&str> = text.lines().collect();
    let counted = without_raw_literals(text);
    let counted = counted.lines().zip(&whole).enumerate();
    counted
        .filter(|(_, (counted, whole))| {
            counted.chars().count() > most && whole.chars().count() > most
        })
        .map(|(index, _)| index + 1)
        .collect()
}

fn without_raw_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let whole = comment(rest).or_else(|| literal(rest));
        // A word is passed whole: its end may look like the start of a raw literal.
        let word = || rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(whole.unwrap_or_else(|| word().max(c.len_utf8())));
        let is_raw = whole.is_some()
            && ["r", "br", "cr"]
                .iter()
                .any(|prefix| piece.starts_with(prefix));
        match is_raw {
            true => out.extend(piece.chars().filter(|&c| c == '\n')),
            false => out.push_str(piece),
        }
        rest = behind;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_plain_literals_count_and_raw_ones_do_not() {
        let long = "x".repeat(20);
        let text = format!(
            "// {long}\nlet a = \"{long}\";\nlet b = r#\"{long}\"#;\n\
             let c = r\"\n{long}\n\";\nlet d = br\"{long}\"; // {long}\nshort();\n"
        );
        assert_eq!(too_wide(&text, 20), [1, 2, 7]);
        assert!(too_wide(&text, 60).is_empty());
        // In characters, not bytes.
        assert!(too_wide(&format!("// {}", "ä".repeat(17)), 20).is_empty());
    }
}

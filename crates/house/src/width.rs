// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines of a Rust file that are too wide. rustfmt breaks code, and leaves comments and literals as they are.

use proc_macro2::{LexError, Literal, TokenStream, TokenTree};

/// Numbers, from 1 on, of the lines of `text` that have more than `most` characters. What stands in a raw literal does
/// not count: it is in another form, such as JSON, where a line may not be broken.
///
/// # Errors
/// When `text` is no Rust.
pub fn too_wide(text: &str, most: usize) -> Result<Vec<usize>, LexError> {
    // Comments are no tokens, and count: all of a line does but the raw literals.
    let whole: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
    let mut counted = whole.clone();
    let mut raw = Vec::new();
    raw_literals(text.parse()?, &mut raw);
    for literal in raw {
        let (start, end) = (literal.span().start(), literal.span().end());
        for line in start.line..=end.line {
            let from = if line == start.line { start.column } else { 0 };
            let to = if line == end.line {
                end.column
            } else {
                whole[line - 1]
            };
            counted[line - 1] -= to - from;
        }
    }
    let numbered = counted.into_iter().enumerate();
    let wide = numbered.filter(|(_, counted)| *counted > most);
    Ok(wide.map(|(index, _)| index + 1).collect())
}

fn raw_literals(stream: TokenStream, found: &mut Vec<Literal>) {
    for tree in stream {
        match tree {
            TokenTree::Group(group) => raw_literals(group.stream(), found),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if ["r", "br", "cr"]
                    .iter()
                    .any(|prefix| text.starts_with(prefix))
                {
                    found.push(literal);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn comments_and_plain_literals_count_and_raw_ones_do_not() {
        let long = "x".repeat(20);
        let text = format!(
            "// {long}\nlet a = \"{long}\";\nlet b = r#\"{long}\"#;\n\
             let c = r\"\n{long}\n\";\nlet d = br\"{long}\"; // {long}\nshort();\n"
        );
        let too_wide = |text: &str, most| super::too_wide(text, most).expect("Rust");
        assert_eq!(too_wide(&text, 20), [1, 2, 7]);
        assert!(too_wide(&text, 60).is_empty());
        // In characters, not bytes.
        assert!(too_wide(&format!("// {}", "ä".repeat(17)), 20).is_empty());
    }
}

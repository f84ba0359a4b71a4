// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a container or an image says, as part of a sentence of ours.

/// `text` with each control character but line ends and tabs replaced, so that a terminal that shows it does
/// nothing else: no colour, title, cursor movement or clipboard is in the hands of who wrote it.
#[must_use]
pub fn printable(text: &str) -> String {
    let harmless = |c: char| !c.is_control() || c == '\n' || c == '\t';
    text.chars()
        .map(|c| {
            if harmless(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing() {
        // A title, a cursor movement, the eight-bit form of the same, a clipboard, a bell.
        for text in [
            "\u{1b}]0;x\u{7}",
            "\u{1b}[1A\r",
            "\u{9b}1A",
            "\u{1b}]52;c;eA==\u{7}",
            "\u{8}\u{7f}",
        ] {
            assert!(!printable(text).chars().any(char::is_control), "{text:?}");
        }
        assert_eq!(printable("a\u{1b}[2Kb"), "a\u{fffd}[2Kb");
        let text = "two lines,\n\ta tab, an \u{e9} and an \u{1f980}";
        assert_eq!(printable(text), text);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a system is called, and what a host's words are when they are shown.

use cki_session::printable;

/// How much of what a host says is shown.
const SHOWN: usize = 300;

/// A system's name, short enough for a line.
#[must_use]
pub fn short(name: &str) -> &str {
    let hash = name.split_once(':').map_or(name, |(_, hash)| hash);
    hash.get(..12).unwrap_or(hash)
}

/// The last line of what a host, or ssh for it, has said, harmless for a terminal, and for the lines of other hosts
/// there.
#[must_use]
pub fn last_line(said: &str) -> Option<String> {
    let last = said.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(shown(last))
}

/// A line of a host's, so.
#[must_use]
pub fn shown(line: &str) -> String {
    let short: String = line.trim().chars().take(SHOWN).collect();
    printable(&short.replace(['\n', '\t'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_says_is_a_short_line_that_tells_a_terminal_nothing() {
        let said = "first\n\u{1b}[1A\rroot@b: done\t\u{9b}2J\u{7f}\n \n";
        let line = last_line(said).expect("a line");
        assert!(line.ends_with("root@b: done \u{fffd}2J\u{fffd}"), "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
        assert_eq!(last_line(" \n\n"), None);
        assert_eq!(shown(&"x".repeat(1 << 20)).len(), SHOWN);
    }
}

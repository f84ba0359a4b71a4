// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tables of a document list.

use std::collections::BTreeSet;

/// The code spans in the first column of a document's tables.
#[must_use]
pub fn first_column(text: &str) -> BTreeSet<String> {
    // A bar that belongs to a cell has a backslash before it.
    let bar = "\u{1}";
    text.lines()
        .map(|line| line.replace("\\|", bar))
        .filter_map(|line| Some(line.strip_prefix('|')?.split('|').next()?.to_owned()))
        .flat_map(|cell| {
            let spans = cell.split('`').skip(1).step_by(2);
            spans.map(|span| span.replace(bar, "|")).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_column_has_its_spans_with_bars_and_no_others() {
        let text = "`no`\n| `a`, `b \\| c` | `no` |\n|---|---|\n| none | `no` |\n";
        let spans = ["a", "b | c"].map(str::to_owned);
        assert_eq!(first_column(text), spans.into());
    }
}

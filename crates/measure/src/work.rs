// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which work there is, and what it is called.

use cki_workload_names::{Size, Workload};
use clap::ValueEnum;

/// The bars of the paper's figure 12, from the left.
pub const FIG12: [Workload; 6] = [
    Workload::Btree,
    Workload::XsLookup,
    Workload::Anneal,
    Workload::Dedup,
    Workload::Sph,
    Workload::FpGrowth,
];

/// A value as the command line has it.
#[must_use]
pub fn word(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The program that does the work, and its arguments.
#[must_use]
pub fn command(workload: Workload, size: Size) -> Vec<String> {
    let (workload, size) = (word(&workload), word(&size));
    let words = ["cki-workload", &workload, "--size", &size, "--json"];
    words.map(str::to_owned).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_and_sizes_are_those_that_the_book_has() {
        let book = include_str!("../../../docs/reference/workloads.md");
        let headings = book.lines().filter_map(|line| line.strip_prefix("## `"));
        let headings: Vec<_> = headings.filter_map(|line| line.strip_suffix('`')).collect();
        let workloads = Workload::value_variants().iter().map(word);
        let expected: Vec<_> = workloads.chain(["cki-kv-load".to_owned()]).collect();
        assert_eq!(headings, expected);
        for size in Size::value_variants().iter().map(word) {
            assert!(book.contains(&format!("\n| `{size}` |")), "{size}");
        }
    }

    #[test]
    fn the_program_is_told_what_to_do() {
        let words = command(Workload::XsLookup, Size::Small);
        assert_eq!(
            words,
            ["cki-workload", "xs-lookup", "--size", "small", "--json"]
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `btree`: a B-tree is built, and elements of it are looked up.

use std::collections::BTreeMap;

use crate::finding::{Finding, Wrong};
use crate::random::Random;
use crate::stream;
use cki_workload_names::Size;

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// What the tree holds.
    pub elements: u64,
    /// How often something is looked up in it.
    pub lookups: u64,
}

impl Parameters {
    /// Those of a size.
    #[must_use]
    pub const fn of(size: Size) -> Self {
        let (elements, lookups) = match size {
            Size::Tiny => (50_000, 20_000),
            Size::Small => (1_000_000, 400_000),
            Size::Paper => (10_000_000, 2_000_000),
        };
        Self { elements, lookups }
    }
}

/// The key of an element: numbers that are different have keys that are different, and in no order.
///
/// Each step can be undone: an exclusive or with what was shifted right, and a product with an odd number. The
/// numbers are those of MurmurHash3's last step.
const fn key(element: u64, seed: u64) -> u64 {
    let mut key = element ^ seed;
    key = (key ^ key >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    key = (key ^ key >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    key ^ key >> 33
}

/// Which element the `number`th lookup is for; a quarter is for elements that were never put in.
fn wanted(parameters: Parameters, random: &mut Random) -> u64 {
    random.below(parameters.elements + parameters.elements / 3)
}

/// Builds the tree and looks up; the sum is of what was found, in its order.
///
/// # Errors
///
/// If a lookup found what is not there, did not find what is, or the tree is out of order.
pub fn run(parameters: Parameters, seed: u64) -> Result<Finding, Wrong> {
    let tree: BTreeMap<u64, u64> = {
        let mut tree = BTreeMap::new();
        for element in 0..parameters.elements {
            tree.insert(key(element, seed), element);
        }
        tree
    };
    let mut finding = Finding::default();
    let mut random = Random::new(seed, stream::BTREE);
    let mut found = 0;
    for _ in 0..parameters.lookups {
        let element = wanted(parameters, &mut random);
        let value = tree.get(&key(element, seed)).copied();
        if value != (element < parameters.elements).then_some(element) {
            return Err(Wrong::Result("a lookup gave what is not that element's"));
        }
        found += u64::from(value.is_some());
        finding.sum.add(value.unwrap_or(u64::MAX));
    }
    if tree.len() as u64 != parameters.elements || !tree.keys().is_sorted() {
        return Err(Wrong::Result("the tree is not in order"));
    }
    finding.counts = vec![
        ("elements", parameters.elements),
        ("lookups", parameters.lookups),
        ("found", found),
    ];
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sum::Sum;
    use proptest::prelude::*;

    /// The same by a list that is searched from its begin.
    fn naive(parameters: Parameters, seed: u64) -> (u64, u64) {
        let list: Vec<u64> = (0..parameters.elements).map(|e| key(e, seed)).collect();
        let mut random = Random::new(seed, stream::BTREE);
        let mut sum = Sum::new();
        let mut found = 0;
        for _ in 0..parameters.lookups {
            let key = key(wanted(parameters, &mut random), seed);
            let at = list.iter().position(|other| *other == key);
            found += u64::from(at.is_some());
            sum.add(at.map_or(u64::MAX, |at| at as u64));
        }
        (sum.value(), found)
    }

    proptest! {
        #[test]
        fn a_tree_finds_what_a_search_from_the_begin_finds(
            elements in 1_u64..400, lookups in 0_u64..200, seed: u64,
        ) {
            let parameters = Parameters { elements, lookups };
            let finding = run(parameters, seed).expect("nothing is wrong");
            let (sum, found) = naive(parameters, seed);
            prop_assert_eq!(finding.sum.value(), sum);
            prop_assert_eq!(finding.counts[2], ("found", found));
        }
    }

    #[test]
    fn a_quarter_of_the_lookups_is_for_what_is_not_there() {
        let finding = run(Parameters::of(Size::Tiny), 1).expect("nothing is wrong");
        assert!(
            (14_500..15_500).contains(&finding.counts[2].1),
            "{finding:?}"
        );
    }
}

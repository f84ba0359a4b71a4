// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fp-growth`: sets of items that are often bought together are found by a tree of frequent patterns.
//!
//! The method is that of Han, Pei and Yin, "Mining Frequent Patterns without Candidate Generation" (SIGMOD 2000).

use crate::finding::{Finding, Wrong};
use crate::map::Map;
use crate::random::Random;
use crate::stream;
use cki_workload_names::Size;

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// Purchases.
    pub transactions: usize,
    /// Things that can be bought.
    pub items: u32,
    /// In how many transactions a set has to be.
    pub support: u64,
}

impl Parameters {
    /// Those of a size.
    #[must_use]
    pub const fn of(size: Size) -> Self {
        let (transactions, items, support) = match size {
            Size::Tiny => (5_000, 1_000, 25),
            Size::Small => (100_000, 8_000, 120),
            Size::Paper => (990_000, 41_000, 790),
        };
        Self {
            transactions,
            items,
            support,
        }
    }
}

/// An item, by its place among all that are frequent: the most frequent one is 0.
type Rank = usize;

/// Nothing above, or none further.
const NONE: u32 = u32::MAX;

/// The end of a path of items that transactions have in common.
#[derive(Debug)]
struct Node {
    rank: u32,
    above: u32,
    /// Another node of that item.
    next: u32,
    /// How many transactions go this way.
    count: u64,
}

/// Of the ranks below a limit.
#[derive(Debug)]
struct Tree {
    nodes: Vec<Node>,
    below: Map<(u32, u32), u32>,
    /// For each rank, its nodes' first.
    heads: Vec<u32>,
    /// For each rank, how many transactions have it.
    counts: Vec<u64>,
}

impl Tree {
    fn new(ranks: usize) -> Self {
        Self {
            nodes: Vec::new(),
            below: Map::default(),
            heads: vec![NONE; ranks],
            counts: vec![0; ranks],
        }
    }

    /// Takes a path in, whose ranks rise, `count` times.
    fn insert(&mut self, path: &[Rank], count: u64) {
        let mut above = NONE;
        for &rank in path {
            let next = number(self.nodes.len());
            let node = *self.below.entry((above, number(rank))).or_insert(next);
            if node == next {
                self.nodes.push(Node {
                    rank: number(rank),
                    above,
                    next: self.heads[rank],
                    count: 0,
                });
                self.heads[rank] = node;
            }
            self.nodes[node as usize].count += count;
            self.counts[rank] += count;
            above = node;
        }
    }

    /// The nodes from `first` on, each by what names its successor.
    fn follow(&self, first: u32, successor: fn(&Node) -> u32) -> impl Iterator<Item = &Node> {
        let node = |at: u32| self.nodes.get(at as usize);
        std::iter::successors(node(first), move |last| node(successor(last)))
    }

    /// What is bought with an item and more often than it: a tree of the paths above its nodes, with what is frequent
    /// on them.
    fn given(&self, rank: Rank, support: u64) -> Self {
        let mut counts = vec![0; rank];
        for node in self.follow(self.heads[rank], |node| node.next) {
            for above in self.follow(node.above, |node| node.above) {
                counts[above.rank as usize] += node.count;
            }
        }
        let mut tree = Self::new(rank);
        let mut path = Vec::new();
        for node in self.follow(self.heads[rank], |node| node.next) {
            path.clear();
            let ranks = self.follow(node.above, |node| node.above);
            path.extend(ranks.map(|above| above.rank as usize));
            path.retain(|&rank| counts[rank] >= support);
            path.reverse();
            tree.insert(&path, node.count);
        }
        tree
    }

    /// Tells all sets that are frequent, each with what is already in `set`.
    fn mine(&self, support: u64, set: &mut Vec<Rank>, tell: &mut dyn FnMut(&[Rank], u64)) {
        for rank in (0..self.heads.len()).rev() {
            if self.counts[rank] >= support {
                set.push(rank);
                tell(set, self.counts[rank]);
                self.given(rank, support).mine(support, set, tell);
                set.pop();
            }
        }
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("there are fewer")
}

/// A number below `end`, the lower the more often.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is at least 0 and below `end`"
)]
fn skewed(end: u32, random: &mut Random) -> u32 {
    let fraction = random.fraction();
    (f64::from(end) * fraction * fraction * fraction) as u32
}

/// Transactions of up to 15 items: parts of patterns that come again and again, and single items.
fn transactions(parameters: Parameters, random: &mut Random) -> Vec<Vec<u32>> {
    let mut pattern = |_| {
        let length = 2 + random.below(6);
        let items = (0..length).map(|_| skewed(parameters.items, random));
        items.collect::<Vec<_>>()
    };
    let patterns: Vec<Vec<u32>> = (0..parameters.items.div_ceil(20))
        .map(&mut pattern)
        .collect();
    let mut transaction = |_| {
        let length = usize::try_from(1 + random.below(15)).expect("small");
        let mut items = Vec::new();
        while items.len() < length {
            if random.below(3) == 0 {
                let which = skewed(number(patterns.len()), random);
                let part = patterns[which as usize].iter();
                items.extend(part.filter(|_| random.below(4) > 0));
            } else {
                items.push(skewed(parameters.items, random));
            }
        }
        items.truncate(length);
        items.sort_unstable();
        items.dedup();
        items
    };
    (0..parameters.transactions).map(&mut transaction).collect()
}

/// The items that are frequent, most frequent first.
fn ranked(transactions: &[Vec<u32>], parameters: Parameters) -> Vec<u32> {
    let mut counts = vec![0_u64; parameters.items as usize];
    for &item in transactions.iter().flatten() {
        counts[item as usize] += 1;
    }
    let count = |item: u32| counts[item as usize];
    let mut items: Vec<u32> = (0..parameters.items).collect();
    items.retain(|&item| count(item) >= parameters.support);
    items.sort_by_key(|&item| (std::cmp::Reverse(count(item)), item));
    items
}

/// Builds the tree of all transactions, and tells all frequent sets of items.
fn mine(transactions: &[Vec<u32>], parameters: Parameters, tell: &mut dyn FnMut(&[u32], u64)) {
    let items = ranked(transactions, parameters);
    let mut ranks = vec![None; parameters.items as usize];
    for (rank, &item) in items.iter().enumerate() {
        ranks[item as usize] = Some(rank);
    }
    let mut tree = Tree::new(items.len());
    let mut path: Vec<Rank> = Vec::new();
    for transaction in transactions {
        path.clear();
        path.extend(transaction.iter().filter_map(|&item| ranks[item as usize]));
        path.sort_unstable();
        tree.insert(&path, 1);
    }
    let mut set = Vec::new();
    tree.mine(parameters.support, &mut Vec::new(), &mut |ranks, count| {
        set.clear();
        set.extend(ranks.iter().map(|&rank| items[rank]));
        tell(&set, count);
    });
}

/// In how many transactions all of `items` are.
fn count(transactions: &[Vec<u32>], items: &[u32]) -> u64 {
    let has = |transaction: &&Vec<u32>| {
        let mut all = items.iter();
        all.all(|item| transaction.binary_search(item).is_ok())
    };
    transactions.iter().filter(has).count() as u64
}

/// Finds the sets; the sum is of all of them, with how often each is there. Some are counted again, one by one: the
/// first, second, fourth, eighth and so on.
///
/// # Errors
///
/// If one of those is not there as often as was found.
pub fn run(parameters: Parameters, seed: u64) -> Result<Finding, Wrong> {
    let transactions = transactions(parameters, &mut Random::new(seed, stream::FP_GROWTH));
    let mut finding = Finding::default();
    let (mut sets, mut largest, mut wrong) = (0_u64, 0, false);
    mine(&transactions, parameters, &mut |items, support| {
        sets += 1;
        largest = largest.max(items.len());
        finding.sum.add(support);
        items.iter().for_each(|&item| finding.sum.add(item.into()));
        wrong |= support < parameters.support
            || (sets.is_power_of_two() && support != count(&transactions, items));
    });
    if wrong {
        return Err(Wrong::Result("a set of items is not there as often"));
    }
    finding.counts = vec![
        ("transactions", transactions.len() as u64),
        ("sets", sets),
        ("items of the largest set", largest as u64),
    ];
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// All sets of items that any transaction has, each counted.
    fn naive(transactions: &[Vec<u32>], support: u64) -> BTreeMap<Vec<u32>, u64> {
        let mut counts = BTreeMap::new();
        for transaction in transactions {
            for chosen in 1_u32..1 << transaction.len() {
                let items = transaction.iter().enumerate();
                let items = items.filter(|(at, _)| chosen >> at & 1 == 1);
                let set: Vec<u32> = items.map(|(_, &item)| item).collect();
                *counts.entry(set).or_insert(0) += 1;
            }
        }
        counts.retain(|_, count| *count >= support);
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_tree_finds_the_sets_that_are_found_by_counting_all(
            bought in prop::collection::vec(prop::collection::btree_set(0_u32..12, 0..7), 0..40),
            support in 1_u64..6,
        ) {
            let bought: Vec<Vec<u32>> = bought.into_iter().map(|set| set.into_iter().collect()).collect();
            let parameters = Parameters { transactions: bought.len(), items: 12, support };
            let mut found = BTreeMap::new();
            let mut twice = false;
            mine(&bought, parameters, &mut |items, count| {
                let mut items = items.to_vec();
                items.sort_unstable();
                twice |= found.insert(items, count).is_some();
            });
            prop_assert!(!twice);
            prop_assert_eq!(found, naive(&bought, support));
        }
    }

    #[test]
    fn items_of_low_numbers_are_bought_more_often() {
        let parameters = Parameters::of(Size::Tiny);
        let all = transactions(parameters, &mut Random::new(1, 0));
        let low = all.iter().flatten().filter(|&&item| item < 125).count();
        let items = all.iter().flatten().count();
        assert!(low * 5 > items * 2 && low < items, "{low} of {items}");
        assert!(all.iter().all(|one| one.is_sorted() && one.len() <= 15));
    }

    #[test]
    fn sets_of_several_items_are_found() {
        let finding = run(Parameters::of(Size::Tiny), 1).expect("nothing is wrong");
        assert!(finding.counts[2].1 >= 4, "{finding:?}");
    }
}

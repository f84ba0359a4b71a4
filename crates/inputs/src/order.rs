// SPDX-License-Identifier: MIT OR Apache-2.0

//! In which order packages are installed: those of every Debian system once, the others on top of them.
//!
//! A package may be unpacked when what it depends on is not even there, but not before what it
//! *pre-depends* on is configured, because its first script runs then (Debian Policy 7.2). So the others are
//! taken in steps: each unpacks what may be, then configures what the next step pre-depends on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// One call of dpkg to unpack, and one to configure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Packages to unpack, in alphabetical order.
    pub unpack: Vec<String>,
    /// Packages to configure after that, or [`PENDING`] alone.
    pub configure: Vec<String>,
}

/// dpkg's word for all packages that are unpacked and not configured.
pub const PENDING: &str = "--pending";

/// What the order follows from, for one package.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    /// What it depends or pre-depends on.
    pub(crate) deps: Vec<String>,
    /// What it pre-depends on, a part of these.
    pub(crate) pre: BTreeSet<String>,
}

/// What [`order`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// `essential` and what that depends on, in alphabetical order.
    pub(crate) base: Vec<String>,
    /// How the other packages are installed on it.
    pub(crate) steps: Vec<Step>,
}

/// Finds the order. Dependencies that are not among `packages` are passed over.
pub(crate) fn order(packages: &BTreeMap<String, Relations>, essential: &BTreeSet<&str>) -> Order {
    let base = closure(packages, essential.iter().copied(), &BTreeSet::new());
    let mut left: BTreeMap<&str, BTreeSet<&str>> = packages
        .iter()
        .filter(|(name, _)| !base.contains(name.as_str()))
        .map(|(name, relations)| {
            let pre = relations.pre.iter().map(String::as_str);
            let mut needs = closure(packages, pre, &base);
            // A circle: dpkg breaks it where it likes.
            needs.remove(name.as_str());
            (name.as_str(), needs)
        })
        .collect();
    let mut steps: Vec<Step> = Vec::new();
    let mut unpacked: BTreeSet<&str> = BTreeSet::new();
    let mut configured: BTreeSet<&str> = BTreeSet::new();
    while !left.is_empty() {
        let ready = |(_, needs): &(&&str, &BTreeSet<&str>)| needs.is_subset(&unpacked);
        let mut now: BTreeSet<&str> = left.iter().filter(ready).map(|(name, _)| *name).collect();
        if now.is_empty() {
            // Packages that pre-depend on one another, which no archive should have: dpkg says so.
            now = left.keys().copied().collect();
        }
        let needed: BTreeSet<&str> = now
            .iter()
            .flat_map(|name| left[name].iter().copied())
            .filter(|name| unpacked.contains(name) && !configured.contains(name))
            .collect();
        if let Some(last) = steps.last_mut() {
            last.configure = needed.iter().map(ToString::to_string).collect();
        }
        configured.extend(needed);
        steps.push(Step {
            unpack: now.iter().map(ToString::to_string).collect(),
            configure: vec![PENDING.to_owned()],
        });
        left.retain(|name, _| !now.contains(name));
        unpacked.extend(now);
    }
    Order {
        base: base.into_iter().map(str::to_owned).collect(),
        steps,
    }
}

/// `roots` and all that they depend on, without `known`.
fn closure<'a>(
    packages: &'a BTreeMap<String, Relations>,
    roots: impl Iterator<Item = &'a str>,
    known: &BTreeSet<&str>,
) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut queue: Vec<&str> = roots.collect();
    while let Some(name) = queue.pop() {
        let Some((name, relations)) = packages.get_key_value(name) else {
            continue;
        };
        if !known.contains(name.as_str()) && found.insert(name.as_str()) {
            queue.extend(relations.deps.iter().map(String::as_str));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a: b c! d`: a depends on b and d and pre-depends on c.
    fn order_of(text: &str, essential: &[&str]) -> Order {
        let relations = |words: &str| {
            let names = words.split_whitespace();
            Relations {
                deps: names
                    .clone()
                    .map(|name| name.trim_end_matches('!').to_owned())
                    .collect(),
                pre: names
                    .filter_map(|name| name.strip_suffix('!'))
                    .map(str::to_owned)
                    .collect(),
            }
        };
        let packages = text.lines().filter_map(|line| line.split_once(':'));
        let packages = packages
            .map(|(name, words)| (name.trim().to_owned(), relations(words)))
            .collect();
        order(&packages, &essential.iter().copied().collect())
    }

    fn step(unpack: &[&str], configure: &[&str]) -> Step {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        Step {
            unpack: owned(unpack),
            configure: owned(configure),
        }
    }

    #[test]
    fn what_every_system_has_is_the_base_and_alone_needs_no_steps() {
        let order = order_of("bash: libc6!\nlibc6: libgcc\nlibgcc: libc6\n", &["bash"]);
        assert_eq!(order.base, ["bash", "libc6", "libgcc"]);
        assert_eq!(order.steps, []);
    }

    #[test]
    fn one_step_is_enough_without_pre_dependencies_among_the_others() {
        let order = order_of("dash:\nhello: libh dash!\nlibh: hello", &["dash"]);
        assert_eq!(order.steps, [step(&["hello", "libh"], &[PENDING])]);
    }

    #[test]
    fn a_pre_dependency_is_configured_with_all_that_it_depends_on_before_the_package_is_unpacked() {
        let order = order_of(
            "base:\nserver: common! lib\ncommon: debconf! perl\ndebconf:\nperl: perl-lib\nperl-lib:\nlib:",
            &["base"],
        );
        assert_eq!(
            order.steps,
            [
                step(&["debconf", "lib", "perl", "perl-lib"], &["debconf"]),
                step(&["common"], &["common", "perl", "perl-lib"]),
                step(&["server"], &[PENDING]),
            ]
        );
    }

    #[test]
    fn circles_end() {
        let order = order_of("base:\na: b!\nb: a", &["base"]);
        assert_eq!(
            order.steps,
            [step(&["b"], &["b"]), step(&["a"], &[PENDING])]
        );
        let order = order_of("base:\na: b!\nb: a!", &["base"]);
        assert_eq!(order.steps, [step(&["a", "b"], &[PENDING])]);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! From a few wanted packages to all that they depend on.
//!
//! The result depends on the indexes and the wishes alone, not on their order:
//! - a package comes from the first suite (in the order given) that takes part automatically and has a version that
//!   will do; otherwise from the suite that was asked for, or from the suite of the package that depends on it;
//! - of alternatives (`a | b`, or the providers of a virtual package) the one that was wished for by name is taken,
//!   then one that is kept from before, then the first; real packages come before providers, these by priority and
//!   name.
//!
//! Recommends are ignored and conflicts are not looked at: packages are unpacked, not installed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::dependency::{self, Constraint, Dependency, DependencyError, Relation};
use super::index::{Package, PackageIndex};
use super::version::Version;
use cki_wording::nearest::{hint, nearest_names};

/// A package that is asked for.
#[derive(Debug, Clone)]
pub struct Want {
    /// Its name; a virtual name will do if a package provides it.
    pub name: String,
    /// The versions that will do.
    pub constraint: Option<Constraint>,
    /// The only suite it may come from.
    pub suite: Option<String>,
    /// Who asks, for messages: `[tools]`, `the command line`.
    pub asked_by: String,
}

impl Want {
    /// Any version from any automatic suite.
    #[must_use]
    pub fn any(name: &str, asked_by: &str) -> Self {
        Self {
            name: name.into(),
            constraint: None,
            suite: None,
            asked_by: asked_by.into(),
        }
    }
}

/// A package that was chosen before and stays as it is.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its version.
    pub version: Version,
    /// Its suite.
    pub suite: String,
    /// Names of the packages it depends on; they must be kept too.
    pub deps: Vec<String>,
}

/// A package of the result.
#[derive(Debug, Clone)]
pub struct Chosen<'a> {
    /// Where it was found; `None` for one that was kept.
    pub found: Option<(&'a str, &'a Package)>,
    /// Names of the packages of the result that its dependencies were resolved to, in alphabetical order.
    pub deps: Vec<String>,
}

/// The result.
#[derive(Debug, Default)]
pub struct Resolution<'a> {
    /// All packages by name.
    pub packages: BTreeMap<String, Chosen<'a>>,
    /// For each name asked for, the package that serves it (another one if the name is virtual).
    pub roots: BTreeMap<String, String>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No suite has a package of that name.
    #[error("there is no package '{name}', wanted by {wanted_by}{}", hint(.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// Who wants it, and who wants that one...
        wanted_by: String,
        /// Names that look like it.
        nearest: Vec<String>,
    },
    /// There are packages of that name, but none that will do.
    #[error("no version will do for '{dependency}', wanted by {wanted_by}: there is {}", .found.join(", "))]
    Unsatisfiable {
        /// The dependency as written.
        dependency: String,
        /// Who wants it.
        wanted_by: String,
        /// The versions there are, with their suites.
        found: Vec<String>,
    },
    /// Two packages need different versions of a third.
    #[error(
        "'{dependency}', wanted by {wanted_by}, does not fit {name} {version}, which {}",
        if *.kept { "is pinned already; `cki-build lock --update` resolves everything anew" } else { "is needed by \
            others" }
    )]
    Conflict {
        /// The package.
        name: String,
        /// The version that is chosen already.
        version: String,
        /// Whether that was kept from before.
        kept: bool,
        /// The dependency as written.
        dependency: String,
        /// Who wants it.
        wanted_by: String,
    },
    /// A package's dependencies cannot be read.
    #[error("the dependencies of {package} cannot be read: {cause}")]
    Malformed {
        /// The package's name.
        package: String,
        /// What is wrong.
        cause: DependencyError,
    },
    /// A kept package depends on one that is not kept.
    #[error(
        "{package} is pinned, but its dependency {dependency} is not; `cki-build lock --update` resolves everything \
         anew"
    )]
    Incomplete {
        /// The package's name.
        package: String,
        /// What it depends on.
        dependency: String,
    },
}

/// Finds all packages that `wants` need.
///
/// `indexes` are in the order of preference. `kept` are used as they are wherever they fit.
///
/// # Errors
/// See [`ResolveError`].
pub fn resolve<'a>(
    indexes: &'a [PackageIndex],
    architecture: &str,
    wants: &[Want],
    kept: &BTreeMap<String, Kept>,
) -> Result<Resolution<'a>, ResolveError> {
    let mut run = Run {
        indexes,
        architecture,
        kept,
        wished: wants.iter().map(|w| w.name.as_str()).collect(),
        chosen: BTreeMap::new(),
        parents: BTreeMap::new(),
        queue: VecDeque::new(),
    };
    let mut resolution = Resolution::default();
    let mut sorted: Vec<&Want> = wants.iter().collect();
    // Entries with conditions first: they decide the version for those that take any.
    sorted.sort_by_key(|w| (w.suite.is_none(), w.constraint.is_none(), &w.name));
    for want in sorted {
        let name = run.want(want)?;
        resolution.roots.insert(want.name.clone(), name);
    }
    while let Some(name) = run.queue.pop_front() {
        let deps = run.dependencies(&name)?;
        let found = run.chosen[&name].found;
        resolution.packages.insert(name, Chosen { found, deps });
    }
    Ok(resolution)
}

/// A package that has been decided on.
struct Selected<'a> {
    version: Version,
    suite: String,
    found: Option<(&'a str, &'a Package)>,
}

struct Run<'a, 'b> {
    indexes: &'a [PackageIndex],
    architecture: &'b str,
    kept: &'b BTreeMap<String, Kept>,
    wished: BTreeSet<&'b str>,
    chosen: BTreeMap<String, Selected<'a>>,
    /// Who caused a package to be chosen first: a package, or the text of a wish.
    parents: BTreeMap<String, String>,
    queue: VecDeque<String>,
}

impl<'a> Run<'a, '_> {
    fn want(&mut self, want: &Want) -> Result<String, ResolveError> {
        let relation = Relation {
            name: want.name.clone(),
            qualifier: None,
            constraint: want.constraint.clone(),
            architectures: Vec::new(),
            profiles: Vec::new(),
        };
        let group = Dependency {
            alternatives: vec![relation],
        };
        self.satisfy(
            &group,
            &want.asked_by,
            want.suite.as_deref(),
            want.suite.is_some(),
        )
    }

    /// Decides which package fulfils a dependency and returns its name. `suite` is searched even if it is not
    /// automatic, and alone if `only` is set.
    fn satisfy(
        &mut self,
        group: &Dependency,
        parent: &str,
        suite: Option<&str>,
        only: bool,
    ) -> Result<String, ResolveError> {
        let mut options = Vec::new();
        for relation in &group.alternatives {
            if relation.applies(self.architecture) && relation.qualifier_fits(self.architecture) {
                self.options(relation, suite, only, &mut options);
            }
        }
        let rank = |name: &str| (!self.wished.contains(name), !self.kept.contains_key(name));
        // min_by_key returns the first of equals.
        let Some((name, found)) = options.into_iter().min_by_key(|(name, _)| rank(name)) else {
            return Err(self.failure(group, parent));
        };
        if !self.chosen.contains_key(&name) {
            let selected = match found {
                Some((suite, package)) => Selected {
                    version: package.version.clone(),
                    suite: suite.into(),
                    found,
                },
                None => self.selected_from_kept(&name),
            };
            self.chosen.insert(name.clone(), selected);
            self.parents.insert(name.clone(), parent.to_owned());
            self.queue.push_back(name.clone());
        }
        Ok(name)
    }

    fn selected_from_kept(&self, name: &str) -> Selected<'a> {
        let kept = &self.kept[name];
        Selected {
            version: kept.version.clone(),
            suite: kept.suite.clone(),
            found: None,
        }
    }

    /// Adds the packages that fulfil one relation, best first: the package of that name, then providers. The second
    /// part of an element says where to find it and is `None` if it is chosen or kept already.
    fn options(
        &self,
        relation: &Relation,
        suite: Option<&str>,
        only: bool,
        options: &mut Vec<(String, Option<(&'a str, &'a Package)>)>,
    ) {
        let accepts = |version: &Version| {
            relation
                .constraint
                .as_ref()
                .is_none_or(|c| c.accepts(version))
        };
        let suite_fits = |its: &str| !only || suite == Some(its);
        let indexes: Vec<&'a PackageIndex> = {
            let automatic = self
                .indexes
                .iter()
                .filter(|i| i.automatic && suite_fits(&i.suite));
            let other = self
                .indexes
                .iter()
                .filter(|i| !i.automatic && suite == Some(i.suite.as_str()));
            automatic.chain(other).collect()
        };
        let name = &relation.name;
        match (self.chosen.get(name), self.kept.get(name)) {
            (Some(chosen), _) if accepts(&chosen.version) && suite_fits(&chosen.suite) => {
                options.push((name.clone(), None));
            }
            (None, Some(kept)) if accepts(&kept.version) && suite_fits(&kept.suite) => {
                options.push((name.clone(), None));
            }
            (None, None) => {
                let candidate = indexes.iter().find_map(|index| {
                    let package = index.versions(name).find(|p| accepts(&p.version))?;
                    Some((index.suite.as_str(), package))
                });
                options.extend(candidate.map(|found| (name.clone(), Some(found))));
            }
            _ => {}
        }
        let mut providers: Vec<_> = indexes
            .iter()
            .flat_map(|index| {
                let found = index.providers(name).into_iter();
                found.map(|(package, version)| (*index, package, version))
            })
            .collect();
        // Which of the suites that are searched anyway has one says nothing of whether it is the usual one.
        providers
            .sort_by_key(|(index, package, _)| (!index.automatic, package.priority, &package.name));
        for (index, package, version) in providers {
            // Policy 7.5: a versioned relation is only fulfilled by a versioned Provides.
            let fits = match (&relation.constraint, version) {
                (None, _) => true,
                (Some(constraint), Some(version)) => constraint.accepts(version),
                (Some(_), None) => false,
            };
            if !fits || package.name == *name || options.iter().any(|(n, _)| *n == package.name) {
                continue;
            }
            match (self.chosen.get(&package.name), self.kept.get(&package.name)) {
                (None, None) => {
                    options.push((package.name.clone(), Some((&index.suite, package))));
                }
                (Some(chosen), _)
                    if chosen.found.is_some() && chosen.version != package.version => {}
                // A kept version's own Provides are not recorded; those of the index stand for them.
                _ => options.push((package.name.clone(), None)),
            }
        }
    }

    /// Resolves the dependencies of a chosen package.
    fn dependencies(&mut self, name: &str) -> Result<Vec<String>, ResolveError> {
        let mut deps = BTreeSet::new();
        let suite = self.chosen[name].suite.clone();
        match self.chosen[name].found {
            None => {
                let kept = self.kept;
                for dependency in &kept[name].deps {
                    if !kept.contains_key(dependency) {
                        return Err(ResolveError::Incomplete {
                            package: name.into(),
                            dependency: dependency.clone(),
                        });
                    }
                    if !self.chosen.contains_key(dependency) {
                        self.chosen
                            .insert(dependency.clone(), self.selected_from_kept(dependency));
                        self.parents.insert(dependency.clone(), name.to_owned());
                        self.queue.push_back(dependency.clone());
                    }
                    deps.insert(dependency.clone());
                }
            }
            Some((_, package)) => {
                let groups = dependency::parse(&package.depends).map_err(|cause| {
                    ResolveError::Malformed {
                        package: name.into(),
                        cause,
                    }
                })?;
                for group in &groups {
                    deps.insert(self.satisfy(group, name, Some(&suite), false)?);
                }
            }
        }
        deps.remove(name);
        Ok(deps.into_iter().collect())
    }

    fn failure(&self, group: &Dependency, parent: &str) -> ResolveError {
        let wanted_by = self.chain(parent);
        let dependency = group.to_string();
        for relation in &group.alternatives {
            let selected = self
                .chosen
                .get(&relation.name)
                .map(|s| (&s.version, s.found.is_none()));
            let selected =
                selected.or_else(|| self.kept.get(&relation.name).map(|k| (&k.version, true)));
            if let Some((version, kept)) = selected {
                let (name, version) = (relation.name.clone(), version.to_string());
                return ResolveError::Conflict {
                    name,
                    version,
                    kept,
                    dependency,
                    wanted_by,
                };
            }
        }
        let describe = |p: &Package, index: &PackageIndex| {
            format!("{} {} in {}", p.name, p.version, index.suite)
        };
        let mut found = Vec::new();
        for relation in &group.alternatives {
            for index in self.indexes {
                found.extend(index.versions(&relation.name).map(|p| describe(p, index)));
                found.extend(index.providers(&relation.name).iter().map(|(p, version)| {
                    let version = version.map_or_else(String::new, |v| format!(" (= {v})"));
                    format!(
                        "{} which provides {}{version}",
                        describe(p, index),
                        relation.name
                    )
                }));
            }
        }
        if !found.is_empty() {
            return ResolveError::Unsatisfiable {
                dependency,
                wanted_by,
                found,
            };
        }
        let name = group
            .alternatives
            .first()
            .map(|r| r.name.clone())
            .unwrap_or_default();
        let nearest = nearest_names(&name, self.indexes.iter().flat_map(PackageIndex::names));
        ResolveError::Unknown {
            name,
            wanted_by,
            nearest,
        }
    }

    /// `libfl2, for flex, for [tools]`.
    fn chain(&self, parent: &str) -> String {
        let mut text = parent.to_owned();
        let mut at = parent;
        while let Some(next) = self.parents.get(at) {
            text = format!("{text}, for {next}");
            at = next;
        }
        text
    }
}

#[cfg(test)]
mod tests;

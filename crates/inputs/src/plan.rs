// SPDX-License-Identifier: MIT OR Apache-2.0

//! The plan of an application image: all its packages.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::mirrors::Suite;
use crate::order::Step;
use cki_debian::version::Version;
use cki_nix::Nix;
use cki_nix::path::Mode;

/// Version of the plan's format and of the way it is resolved; part of the key under which plans are cached.
pub(crate) const FORMAT: u32 = 4;

/// All packages of an application image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppPlan {
    /// Version of the format; 4.
    pub version: u32,
    /// What the user asked for.
    pub requested: Vec<String>,
    /// For each of `requested`, the package that serves it: itself unless the name is virtual.
    pub roots: Vec<String>,
    /// The packages that every Debian system must have (`Essential: yes`); what they depend on is in `packages` as
    /// well.
    pub essential: Vec<String>,
    /// The suites that packages were found in.
    pub suites: BTreeMap<String, AppSuite>,
    /// All packages, in alphabetical order.
    pub packages: Vec<AppPackage>,
    /// Those of them that every Debian system has: the lowest layer of the image.
    pub base: Vec<String>,
    /// How the others are installed on that: the layer above. Empty when there are none.
    pub steps: Vec<Step>,
    /// SHA-256 of `packages`, `base` and `steps` as JSON: equal for equal contents of the image.
    pub hash: String,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A suite that packages of an application image were found in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSuite {
    /// Component.
    pub component: String,
    /// Date of its release file, as written there.
    pub date: String,
}

/// A package of an application image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppPackage {
    /// Name.
    pub package: String,
    /// Version.
    pub version: Version,
    /// Suite it was found in.
    pub suite: String,
    /// Path below the mirror's base URI.
    pub path: String,
    /// SHA-256 of the .deb.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
    /// Name in the Nix store.
    pub store: String,
    /// Names of the packages of the plan that it depends on.
    pub deps: Vec<String>,
}

/// [`AppPlan::hash`] of a plan with these packages that are installed so.
pub(crate) fn digest(packages: &[AppPackage], base: &[String], steps: &[Step]) -> String {
    let json = serde_json::to_vec(&(packages, base, steps))
        .expect("strings and numbers can be written as JSON");
    format!("{:x}", Sha256::digest(json))
}

impl AppPlan {
    /// The suite that a package was found in, as downloads want it.
    pub(crate) fn suite<'a>(&'a self, package: &'a AppPackage) -> Suite<'a> {
        let suite = self.suites.get(&package.suite);
        Suite {
            name: &package.suite,
            component: suite.map_or("", |suite| &suite.component),
            date: suite.map_or("", |suite| &suite.date),
        }
    }

    /// Bytes of all packages.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.packages.iter().map(|p| p.size).sum()
    }

    /// Where the .deb files are in the store once [`crate::provide::provide_app`] has run, in the order of `packages`.
    #[must_use]
    pub fn store_paths(&self, nix: &Nix) -> Vec<PathBuf> {
        self.packages
            .iter()
            .map(|p| nix.fixed_output(&p.store, Mode::Flat, &p.sha256))
            .collect()
    }
}

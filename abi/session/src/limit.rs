// SPDX-License-Identifier: MIT OR Apache-2.0

//! Limits of a process's resources (setrlimit(2)).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kernel's resources: name as for `ulimit` of container engines, number (RLIMIT_*, x86-64).
const RESOURCES: [(&str, u8); 16] = [
    ("cpu", 0),
    ("fsize", 1),
    ("data", 2),
    ("stack", 3),
    ("core", 4),
    ("rss", 5),
    ("nproc", 6),
    ("nofile", 7),
    ("memlock", 8),
    ("as", 9),
    ("locks", 10),
    ("sigpending", 11),
    ("msgqueue", 12),
    ("nice", 13),
    ("rtprio", 14),
    ("rttime", 15),
];

/// A limit of one resource, in the kernel's own units.
///
/// Text and JSON have the same form: `nofile=1024:4096` (soft, hard), `core=0` (both), `stack=unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Limit {
    resource: u8,
    soft: u64,
    hard: u64,
}

impl Limit {
    /// What stands for no limit (RLIM_INFINITY).
    pub const UNLIMITED: u64 = u64::MAX;

    /// Names of all resources.
    pub fn names() -> impl Iterator<Item = &'static str> {
        RESOURCES.iter().map(|(name, _)| *name)
    }

    /// Number of the resource (RLIMIT_*).
    #[must_use]
    pub const fn resource(self) -> u32 {
        self.resource as u32
    }

    /// Name of the resource.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = RESOURCES
            .iter()
            .find(|(_, number)| *number == self.resource);
        named.map_or("", |(name, _)| name)
    }

    /// What the kernel enforces, or [`Limit::UNLIMITED`].
    #[must_use]
    pub const fn soft(self) -> u64 {
        self.soft
    }

    /// How far the process may raise that itself, or [`Limit::UNLIMITED`].
    #[must_use]
    pub const fn hard(self) -> u64 {
        self.hard
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value| match value {
            Self::UNLIMITED => "unlimited".to_owned(),
            value => value.to_string(),
        };
        let (name, soft, hard) = (self.name(), value(self.soft), value(self.hard));
        write!(formatter, "{name}={soft}:{hard}")
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            "expected RESOURCE=SOFT[:HARD], such as nofile=1024:4096 or stack=unlimited".to_owned()
        };
        let (name, values) = text.split_once('=').ok_or_else(form)?;
        let value = |text: &str| match text {
            "unlimited" | "-1" => Ok(Self::UNLIMITED),
            text if text.starts_with('+') => Err(form()),
            text => text.parse::<u64>().map_err(|_| form()),
        };
        let (soft, hard) = match values.split_once(':') {
            Some((soft, hard)) => (value(soft)?, value(hard)?),
            None => (value(values)?, value(values)?),
        };
        let Some(&(_, resource)) = RESOURCES.iter().find(|(known, _)| *known == name) else {
            let known = RESOURCES.map(|(name, _)| name).join(", ");
            return Err(format!("there is no resource {name:?}; there are {known}"));
        };
        if soft > hard {
            return Err(format!(
                "the soft limit {soft} is above the hard one, {hard}"
            ));
        }
        Ok(Limit {
            resource,
            soft,
            hard,
        })
    }
}

impl From<Limit> for String {
    fn from(limit: Limit) -> Self {
        limit.to_string()
    }
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

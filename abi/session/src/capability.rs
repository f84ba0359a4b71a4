// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a process may do of what only root may (capabilities(7)).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names by number, without `CAP_` (Linux 6.12, `include/uapi/linux/capability.h`).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The number that stands for all of them; the kernel has 64 at most.
const ALL: u8 = 64;

/// A capability, or all of them.
///
/// Text and JSON have the same form, `NET_RAW` or `ALL`; `CAP_NET_RAW` and lower case are taken too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Capability(u8);

impl Capability {
    /// All of them.
    pub const ALL: Capability = Capability(ALL);
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.get(usize::from(self.0));
        formatter.write_str(name.unwrap_or(&"ALL"))
    }
}

impl FromStr for Capability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if name == "ALL" {
            return Ok(Self::ALL);
        }
        let number = NAMES.iter().position(|known| *known == name);
        number
            .map(|number| Capability(number as u8))
            .ok_or_else(|| format!("there is no capability {text:?}: expected ALL or a name of capabilities(7), such \
                as NET_RAW"))
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> Self {
        capability.to_string()
    }
}

impl TryFrom<String> for Capability {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// What is taken from, and given back to, a process that would have all capabilities: its kernel is its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Those that it has all the same where `drop` is `ALL`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Capability>,
    /// Those that neither it nor what it starts can have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<Capability>,
}

impl Capabilities {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.drop.is_empty()
    }

    /// These, with what `more` says of a process beside the one that these are of: it has what that one has,
    /// but for what it drops, and for what it adds by name.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        let (add_all, drop_all) = (
            more.add.contains(&Capability::ALL),
            more.drop.contains(&Capability::ALL),
        );
        let kept = |list: &[Capability], all: bool, but: &[Capability]| {
            let kept = list.iter().filter(|&one| !all && !but.contains(one));
            kept.copied().collect::<Vec<_>>()
        };
        Capabilities {
            add: [&kept(&self.add, drop_all, &more.drop), &more.add[..]].concat(),
            drop: [&kept(&self.drop, add_all, &more.add), &more.drop[..]].concat(),
        }
    }

    /// The numbers of those that are taken from it. What is both added and dropped by name is dropped, as with other
    /// container engines.
    pub fn dropped(&self) -> impl Iterator<Item = u32> {
        let has = |list: &[Capability], number: u8| list.contains(&Capability(number));
        let (add_all, drop_all) = (has(&self.add, ALL), has(&self.drop, ALL));
        (0..NAMES.len() as u8)
            .filter(move |&number| {
                if drop_all && !add_all {
                    !has(&self.add, number)
                } else {
                    has(&self.drop, number)
                }
            })
            .map(u32::from)
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a server says.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::process::ProcessId;

/// Version of this protocol, carried by [`Event::Hello`]. A client refuses any other.
pub const VERSION: u32 = 4;

/// What a server says to its client. Fields that the client does not know are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// The server is up; the first message.
    Hello(Hello),
    /// The program was executed.
    Started {
        /// Which.
        id: ProcessId,
        /// Its number in the machine or container.
        pid: i32,
        /// What keeps it from the machine that runs it. Init in a container knows of nothing and says so;
        /// its launcher puts the truth in.
        isolation: Isolation,
    },
    /// A request after `run` was not carried out; the session goes on.
    Refused {
        /// One sentence, which names what was refused.
        message: String,
    },
    /// So many bytes of output there are in all; before `ended`, if there is something on the way that may still
    /// hold some of them. A client that has them all closes a machine's control port.
    Output {
        /// Whose.
        id: ProcessId,
        /// Standard output.
        stdout: u64,
        /// Standard error; 0 from a launcher that leaves it to whoever started it, who counts what comes there.
        stderr: u64,
    },
    /// The program has ended, or was not run; the last message.
    Ended {
        /// Which.
        id: ProcessId,
        /// How.
        outcome: Outcome,
    },
    /// A place of a machine that stays up is served by a process that has had no client yet: nothing of the last one is
    /// left, and whoever connects to the ports of the place from now on meets this process, or a later one. To whoever
    /// keeps the machine up.
    Ready {
        /// Which place.
        place: u32,
        /// The process says the same in its [`Hello::generation`]; that of a later one is greater.
        generation: u64,
    },
    /// Something that this client does not know, and need not.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// The first message of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the server.
    pub version: u32,
    /// The optional parts of requests that it honours: names of [`feature`](crate::request::feature), and others that
    /// this client does not know.
    #[serde(default)]
    pub features: Vec<String>,
    /// Release of its kernel (`uname -r`).
    pub kernel: String,
    /// In a place of a machine that stays up, which processes serve one after the other: the number of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

impl Hello {
    /// A server of this version that honours `features`.
    #[must_use]
    pub fn new(features: &[&str], kernel: &str) -> Self {
        Hello {
            version: VERSION,
            features: features.iter().map(|&name| name.to_owned()).collect(),
            kernel: kernel.trim().to_owned(),
            generation: None,
        }
    }
}

/// What keeps a program from the machine that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Nothing: it is a process of that machine.
    None,
    /// A kernel of its own, deprivileged by PKS and the CKI extension.
    Full,
}

impl fmt::Display for Isolation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "none (native)",
            Self::Full => "full (cki)",
        })
    }
}

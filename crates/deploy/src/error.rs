// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why something was not done on a host, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use cki_process::exec::ExecError;

use super::name::short;

/// Why something was not done on a host.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// There is no host to do it on.
    #[error("name a host: --host root@MACHINE")]
    NoHost,
    /// One host twice would be changed by two at a time.
    #[error("{0} is named twice")]
    Twice(String),
    /// The system.
    #[error("{directory} has no system: {why}; `cki-build build cki-system` makes one")]
    NoSystem {
        /// Where it was looked for.
        directory: PathBuf,
        /// What is missing.
        why: String,
    },
    /// Somebody asked for the end.
    #[error("interrupted")]
    Interrupted,
    /// The time is over.
    #[error("it took too long")]
    Late,
    /// It reads no further.
    #[error("it has taken nothing more of the system for {} s", .0.as_secs())]
    Stuck(Duration),
    /// More than any answer.
    #[error("it says far more than it was asked for")]
    TooMuch,
    /// ssh could not be started.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// What ssh says could not be kept.
    #[error("cannot keep what ssh says in a temporary file: {0}")]
    Log(std::io::Error),
    /// The host's key is another one.
    #[error(
        "its host key is not the one that ssh knows. A system without a disk for /var makes a new one at each start; \
         if you know why it changed, `ssh-keygen -R` removes the old one. If you do not, somebody may stand between"
    )]
    HostKeyChanged,
    /// Nobody has seen the host's key yet.
    #[error(
        "ssh does not know its host key, and none is taken unseen here, whatever ssh's configuration says: connect \
         once by hand, and compare the key that it shows"
    )]
    HostKeyUnknown,
    /// After a restart, its key would be another one.
    #[error(
        "its /var, with its host key, is gone at each start, and ssh would not know it again: give it a disk for /var, \
         or use `deploy boot`, which asks nothing behind the start"
    )]
    KeyGoes,
    /// No key is taken.
    #[error("it takes none of your keys ({0}): look at the user, and at `ssh-add -l`")]
    NotLetIn(String),
    /// No connection.
    #[error("it cannot be reached ({0}): does it run, is its name or address right, and its port?")]
    Unreachable(String),
    /// The connection ended before the answer.
    #[error("the connection was lost ({0})")]
    Lost(String),
    /// Only root may do it.
    #[error("you are not root there: name the host as root@MACHINE")]
    NotRoot,
    /// It is some other machine.
    #[error(
        "it was not started from a disk with slots, as `cki-build image cki-system` writes one ({0})"
    )]
    NoSlots(String),
    /// Something else is at it.
    #[error("something else changes its slots, or has just been cut off: try again in a minute")]
    Busy,
    /// The disk.
    #[error(
        "its disk is full ({0}): the system does not fit in the slot, whose contents are gone; the one that runs is \
         whole"
    )]
    Full(String),
    /// The slot.
    #[error("the system has {size} bytes, and its slot {room}: it needs a disk with larger slots")]
    NoRoom {
        /// What the root file system takes.
        size: u64,
        /// What there is.
        room: u64,
    },
    /// A command of the host's.
    #[error("{what} did not work there ({why})")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// It says what cannot be.
    #[error("it does not say {0}")]
    Odd(&'static str),
    /// Its system is too old for the question.
    #[error(
        "its system does not say what it consists of: it is older than that question, or is not a host of CKI"
    )]
    NoContents,
    /// Memory.
    #[error("the trial of {} has failed on it before; --force tries it again", short(.0))]
    FailedBefore(String),
    /// Another trial is under way.
    #[error("it has {} on trial: `deploy confirm` keeps that, `deploy rollback` ends it", short(.0))]
    OnTrial(String),
    /// There is nothing on trial.
    #[error("it has nothing on trial, and so nothing to confirm")]
    NothingOnTrial,
    /// There is nothing to go back to.
    #[error("its other slot has no whole system, and so there is nothing to go back to")]
    NothingBehind,
    /// The trial ended by itself.
    #[error("it came up with the old system: the trial ended by itself (a panic, or the power)")]
    CameBack,
    /// It runs what nobody has asked for.
    #[error("it came up with {}, which nobody has asked for", short(.0))]
    Another(String),
    /// It does not answer.
    #[error(
        "it has not come up again in {} s ({why}). If it stands still, switch it off and on: it starts the old system",
        .after.as_secs()
    )]
    Gone {
        /// How long it was waited for.
        after: Duration,
        /// What ssh said last.
        why: String,
    },
    /// Probes.
    #[error("not all is well in time: {0}")]
    NotGreen(String),
}

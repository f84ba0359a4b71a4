// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `deploy` is asked for.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use cki_session::values::parse_duration;

use super::host::SshHost;
use super::http::Url;

/// `deploy`
#[derive(Debug, Clone, Args)]
pub struct Deploy {
    /// What to do
    #[arg(value_enum, value_name = "ACTION", help_heading = "Arguments")]
    pub action: Action,
    /// On which hosts.
    #[command(flatten, next_help_heading = "Hosts")]
    pub hosts: Hosts,
    /// When it is good.
    #[command(flatten, next_help_heading = "Probes")]
    pub probes: ProbeArgs,
    /// The system: a directory with bzImage, initrd, root.verity and system [default: `cki-system` of the checkout,
    /// built]
    #[arg(long, value_name = "DIR")]
    pub system: Option<PathBuf>,
    /// Take a system whose trial has failed on the host before; and confirm one that has less than full isolation where
    /// nobody has kept what there was before
    #[arg(long)]
    pub force: bool,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Say what runs, what starts by default, and what the other slot has
    Status,
    /// Say what `switch` would do, and do nothing
    DryActivate,
    /// Say what would be different with the system: kernel, module, monitor, packages, files
    Diff,
    /// Start the system on trial; the host goes back by itself unless `confirm` comes
    Test,
    /// Keep the system that is on trial, if all probes are green and isolation is as good as before
    Confirm,
    /// Start the system on trial, and keep it if all probes are green; go back if they are not
    Switch,
    /// Have the next start be the system's, on trial; the host keeps it by itself if all its units come up
    Boot,
    /// Undo: end a trial, take a start back that is to come, or switch to the system of the other slot
    Rollback,
}

impl Action {
    /// Whether it is about a system that is at hand here.
    #[must_use]
    pub const fn takes_a_system(self) -> bool {
        matches!(
            self,
            Self::DryActivate | Self::Diff | Self::Test | Self::Switch | Self::Boot
        )
    }
}

/// The hosts, and how many at a time.
#[derive(Debug, Clone, Args)]
pub struct Hosts {
    /// A host, as root of it; may be repeated
    #[arg(long = "host", value_name = "USER@MACHINE[:PORT]")]
    pub hosts: Vec<SshHost>,
    /// Configuration file of ssh [default: ssh's own]
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
    /// How many hosts at a time
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "N",
        default_value = "4"
    )]
    pub jobs: NonZeroUsize,
    /// Begin with the first host alone, and go on only if all is well there
    #[arg(long)]
    pub canary: bool,
    /// If one host fails, undo what was done on the others
    #[arg(long)]
    pub atomic: bool,
}

/// What has to be green beside the host's units and its isolation, and until when.
#[derive(Debug, Clone, Args)]
pub struct ProbeArgs {
    /// A command of the host's shell that has to end with 0; may be repeated
    #[arg(long = "probe", value_name = "CMD")]
    pub commands: Vec<String>,
    /// An address (http) that has to answer to this machine with 2xx or 3xx; may be repeated
    #[arg(long = "probe-http", value_name = "URL")]
    pub urls: Vec<Url>,
    /// Time between two rounds of probes
    #[arg(long, allow_hyphen_values = true, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub period: Duration,
    /// Time between the host's coming up and the first round [default: none]
    #[arg(long, allow_hyphen_values = true, value_name = "TIME", value_parser = parse_duration)]
    pub grace: Option<Duration>,
    /// How long a trial is: until then, the host has to be up again, and all probes green
    #[arg(long, allow_hyphen_values = true, value_name = "TIME", default_value = "10m", value_parser = parse_limit)]
    pub limit: Duration,
}

fn parse_limit(text: &str) -> Result<Duration, String> {
    let limit = parse_duration(text)?;
    if (60..=86_400).contains(&limit.as_secs()) {
        Ok(limit)
    } else {
        Err("a trial is from one minute to a day".to_owned())
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `bench` is asked for.

use std::path::PathBuf;
use std::time::Duration;

use cki_session::values::parse_duration;
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::cli::Runtime;
use crate::compared::Size;

/// `bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure
    #[command(subcommand)]
    pub what: BenchKind,
}

/// What `bench` measures.
#[derive(Debug, Subcommand)]
pub enum BenchKind {
    /// How long each output takes to build again, its inputs being there
    Build {
        /// Outputs of the flake
        #[arg(value_name = "ATTR", default_values = ["cki-init", "cki-kernel", "cki-qemu", "cki-host", "cki-build"])]
        attrs: Vec<String>,
    },
    /// How many instructions the kinds of work of the paper's figure 12 take on several runtimes
    Fig12(Fig12),
    /// How many instructions disks, TCP and git checkout cost in a container, side by side with the same without one
    Io,
    /// How many instructions containers cost, side by side with the same work without one
    Micro,
    /// Whether containers do what programs do natively while 1,000 NMIs a second strike their processors
    Nmi {
        /// How long containers are started for (60, 1.5m)
        #[arg(long, value_name = "TIME", default_value = "60", value_parser = parse_duration)]
        duration: Duration,
    },
    /// How long a warm `run` takes until the program's first byte, by phase, without and with a container
    Boot {
        /// Number of runs of each
        #[arg(short = 'n', long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
        runs: u32,
    },
}

/// `bench fig12`
#[derive(Debug, Args)]
pub struct Fig12 {
    /// On what
    #[arg(
        long,
        value_name = "RUNTIME",
        value_delimiter = ',',
        default_values = ["native", "cki"]
    )]
    pub runtimes: Vec<FigureRuntime>,
    /// How much of each
    #[arg(
        long,
        value_name = "SIZE",
        value_delimiter = ',',
        default_value = "tiny"
    )]
    pub sizes: Vec<Size>,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Where records are kept (DIR/fig12.jsonl); what is there already from the same outputs is not measured again
    #[arg(long, value_name = "DIR", default_value = "log")]
    pub log: PathBuf,
}

/// What a figure has bars of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FigureRuntime {
    /// A process of the machine
    Native,
    /// A container of ours
    Cki,
}

impl FigureRuntime {
    /// As `run` has it.
    #[must_use]
    pub const fn runtime(self) -> Runtime {
        match self {
            Self::Native => Runtime::Native,
            Self::Cki => Runtime::Cki,
        }
    }
}

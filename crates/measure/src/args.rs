// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `bench` is asked for, and `demo` when it compares.

use std::path::PathBuf;
use std::time::Duration;

use cki_session::values::parse_duration;
use clap::{Args, Subcommand, ValueEnum};

use cki_workload_names::{Size, Workload};

/// How many clients ask a server at once, of the artifact's numbers.
pub const CLIENTS: [u32; 3] = [1, 6, 12];

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
    /// All of the paper's figures that there are here, and then what it claims
    All(MeasureArgs),
    /// How many instructions the kinds of work of the paper's figure 12 take on several runtimes
    Fig12(FigureArgs),
    /// How many instructions SQLite takes for what the paper's figure 14 has, on several runtimes
    Fig14(FigureArgs),
    /// How many instructions a request to Redis and memcached takes on several runtimes, as in the paper's figure 16
    Fig16(ServerArgs),
    /// How much the bars of one measurement are above those of another. The status is 1 when one is more than allowed
    Compare(CompareArgs),
    /// What the paper claims beside what the records say, as Markdown
    Report(ReportArgs),
    /// How many instructions disks, TCP and git checkout cost in a container, side by side with the same without one
    Io,
    /// How many instructions containers cost, side by side with the same work without one
    Micro,
    /// Whether containers do what programs do natively while 1,000 NMIs a second strike their processors
    Nmi {
        /// How long containers are started for (60, 1.5m)
        #[arg(
            long, allow_hyphen_values = true, value_name = "TIME", default_value = "60",
            value_parser = parse_duration
        )]
        duration: Duration,
    },
    /// How long a warm `run` takes until the program's first byte, by phase, without and with a container
    Boot {
        /// Number of runs of each
        #[arg(
            short = 'n', long, allow_hyphen_values = true, value_name = "N", default_value_t = 3,
            value_parser = clap::value_parser!(u32).range(1..=1000)
        )]
        runs: u32,
    },
}

/// What one of the paper's figures is measured with.
#[derive(Debug, Args)]
pub struct FigureArgs {
    /// How.
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// This work alone, of the figure's, with commas
    #[arg(long, value_name = "NAME[,...]", value_delimiter = ',')]
    pub only: Vec<String>,
}

/// `bench fig16`
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// How, and what.
    #[command(flatten)]
    pub figure: FigureArgs,
    /// How many clients ask at once, with commas
    #[arg(long, value_name = "N[,...]", value_delimiter = ',', default_value = "1,6,12",
        allow_hyphen_values = true, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub clients: Vec<u32>,
}

/// What figures are measured with.
#[derive(Debug, Clone, Args)]
pub struct MeasureArgs {
    /// On what, with commas
    #[arg(
        long,
        value_name = "RUNTIME[,...]",
        value_delimiter = ',',
        default_value = "native,cki"
    )]
    pub runtimes: Vec<FigureRuntime>,
    /// How much of each, with commas
    #[arg(
        long,
        value_name = "SIZE[,...]",
        value_delimiter = ',',
        default_value = "tiny"
    )]
    pub sizes: Vec<Size>,
    /// How often
    #[arg(
        long, allow_hyphen_values = true, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub repeat: u32,
    /// Where records are kept (DIR/FIGURE.jsonl); what is there already from the same outputs is not measured again
    #[arg(long, value_name = "DIR", default_value = "log")]
    pub log: PathBuf,
    /// Where pictures are drawn (DIR/FIGURE-SIZE.svg and .pdf)
    #[arg(long, value_name = "DIR", default_value = "plots")]
    pub plots: PathBuf,
}

/// `bench compare`
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A file of records, or the folder of --log
    #[arg(value_name = "FIRST")]
    pub first: PathBuf,
    /// Another one
    #[arg(value_name = "SECOND")]
    pub second: PathBuf,
    /// How many percent more instructions a bar of the second may have, if no two rounds of both overlap
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "PERCENT",
        default_value_t = 1.0
    )]
    pub within: f64,
}

/// `bench report`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Where records are
    #[arg(long, value_name = "DIR", default_value = "log")]
    pub log: PathBuf,
    /// Where pictures are, of which the report names those that are there
    #[arg(long, value_name = "DIR", default_value = "plots")]
    pub plots: PathBuf,
}

/// Options of `demo` for work of the paper's kinds.
#[derive(Debug, Clone, Copy, Args)]
pub struct Compared {
    /// Do this work instead, natively and in a container, and compare instructions
    #[arg(long, value_name = "NAME", conflicts_with = "rows")]
    pub workload: Option<Workload>,
    /// How much of it
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "tiny",
        requires = "workload"
    )]
    pub size: Size,
}

/// What a figure has bars of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FigureRuntime {
    /// A process of the machine
    Native,
    /// A container of runc's, on the machine's kernel
    Runc,
    /// A container of crun's, on the machine's kernel
    Crun,
    /// A container of gVisor's, on a kernel in user mode (runsc, systrap)
    Gvisor,
    /// A process of user-mode Linux, a kernel that is a process itself (Debian's, Linux 6.1, by ptrace)
    Uml,
    /// A process of Xen's first guest (PV, dom0), with Debian's own kernel
    XenPv,
    /// A container of ours
    Cki,
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    #[test]
    fn the_lists_are_shown_as_they_are_typed() {
        let mut command = ServerArgs::augment_args(clap::Command::new("fig16"));
        let help = command.render_long_help().to_string();
        for default in ["native,cki", "1,6,12", "tiny"] {
            assert!(help.contains(&format!("[default: {default}]")), "{help}");
        }
        let found = command.get_matches_from(["fig16"]);
        let clients: Vec<u32> = found.get_many("clients").expect("some").copied().collect();
        assert_eq!(clients, CLIENTS);
        let runtimes = found.get_many::<FigureRuntime>("runtimes").expect("some");
        assert_eq!(runtimes.len(), 2);
    }
}

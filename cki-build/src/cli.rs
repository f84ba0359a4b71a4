// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::age::parse_age;
use crate::contents::Contents;
use crate::elsewhere;
use clap::{Args, Parser, Subcommand};

use cki_disk::DiskOption;
use cki_frontend::ProgramOptions;
pub use cki_frontend::Runtime;
use cki_measure::args::Compared;
pub use cki_measure::args::{Bench, BenchKind};
use cki_session::values::parse_duration;
use cki_session::{Container, ContainerName, Memory};

use crate::help::{exit_statuses, help_of_run};
pub use crate::host_kernel::HostKernel;
pub use crate::image_kinds::{Image, ImageKind};
use crate::network::NetworkArgs;
use crate::resident;
pub use cki_deploy::args::Deploy;
pub use cki_release::args::Release;

/// Builds CKI from pinned sources and runs programs in the machine that comes out.
#[derive(Debug, Parser)]
#[command(name = "cki-build", version, after_help = exit_statuses(), max_term_width = 100)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Say more; with `run`, show the consoles of both kernels, and how isolated the program was, on standard error
    #[arg(long, global = true)]
    pub verbose: bool,
    /// Show no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Write the result as JSON: to standard output, or, where that is the program's, as the last line of
    /// standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// The CKI checkout [default: the one around the current directory]
    #[arg(long, global = true, value_name = "DIR", env = "CKI_FLAKE")]
    pub flake: Option<PathBuf>,
    /// Where downloads and results are kept [default: $XDG_CACHE_HOME/cki or ~/.cache/cki]
    #[arg(long, global = true, value_name = "DIR", env = "CKI_CACHE")]
    pub cache: Option<PathBuf>,
    /// Debian mirror to download from [default: the one that apt uses]
    #[arg(long, global = true, value_name = "URL", env = "CKI_MIRROR")]
    pub mirror: Option<String>,
    /// Another one for what is pinned, when the first no longer has it: a directory that `mirror` has filled
    #[arg(long, global = true, value_name = "URL", env = "CKI_SECOND_MIRROR")]
    pub second_mirror: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program in a container: of Debian packages, of an image's file, or of the Nix store
    #[command(after_help = help_of_run())]
    Run(Box<RunArgs>),
    /// Start and stop a machine that stays up, in which `run` starts containers quickly
    Machine(resident::Machine),
    /// Run another program in a container of a machine that stays up
    Exec(Box<resident::ExecArgs>),
    /// Show the containers of a machine that stays up
    List(resident::ListArgs),
    /// Show what a container of a machine that stays up has counted so far
    Stats(resident::StatsArgs),
    /// Send a signal to the program of a container of a machine that stays up
    Kill(resident::KillArgs),
    /// Run SQLite in a container on real work, or compare work of the paper's kinds, and say how isolated it was
    Demo(Demo),
    /// Build outputs of the flake
    Build(Build),
    /// Download what the build needs and put it in the Nix store
    Fetch(Fetch),
    /// Resolve the requested packages and pin them in the lock file
    Lock(Lock),
    /// Fill a directory with every pinned file, for others to download from (--second-mirror)
    Mirror {
        /// The directory; what it has already is verified
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Write a disk or application image to a file
    Image(Image),
    /// Remove images that have not been used for long
    Prune(Prune),
    /// Write a release: outputs as a signed binary cache, bills of materials, provenance; or verify one
    Release(Box<Release>),
    /// Put a system on hosts with two slots, over ssh; one that is not well goes back by itself
    Deploy(Box<Deploy>),
    /// Rebuild and compare bit for bit
    Verify(Verify),
    /// Say what this machine lacks and how to get it
    Doctor,
    /// Run the tests, but for the long ones
    Check(Check),
    /// Measure the build, the start of a machine, or what containers cost
    Bench(Bench),
    /// Write a completion script for a shell to standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, or the main one to standard output
    Man {
        /// Directory for one page per command
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

impl Command {
    /// Whether standard output belongs to a program that the command runs.
    #[must_use]
    pub const fn runs_a_program(&self) -> bool {
        matches!(
            self,
            Self::Run(_)
                | Self::Demo(_)
                | Self::Exec(_)
                | Self::Machine(resident::Machine {
                    what: resident::What::Ssh(_)
                })
        )
    }
}

/// `run`
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Machine")]
pub struct RunArgs {
    /// What the program runs on
    #[arg(long, value_enum, default_value_t)]
    pub runtime: Runtime,
    /// The kernel of the machine; a container has its own
    #[arg(long, value_enum, value_name = "KERNEL", default_value_t)]
    pub host_kernel: HostKernel,
    /// Run in this machine that stays up (`machine start`), or in one of its own: `own` [default: what the variable
    /// CKI_MACHINE says, or the machine `default`, if it is up and can do it]
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
    /// Name of the container for `exec`, `list`, `stats` and `kill`, in a machine that stays up
    #[arg(long, value_name = "NAME")]
    pub name: Option<ContainerName>,
    /// Memory of the container, or of the machine of a native program, such as 512M or 1.5G; with `--runtime
    /// host` [default: 2G], half of it is for containers
    #[arg(
        short, long, allow_hyphen_values = true, value_name = "SIZE",
        default_value_if("runtime", "host", "2G"), default_value_t = Container::DEFAULT_MEMORY
    )]
    pub memory: Memory,
    /// Number of processors; a container has one in this version
    #[arg(
        short, long, allow_hyphen_values = true, value_name = "N", default_value_t = 1,
        value_parser = parse_processors
    )]
    pub cpus: u32,
    /// Give it a disk, a raw file or FILE.qcow2; with `:ro`, it cannot be written, and with `:read-bps=10M`,
    /// `:write-bps=`, `:read-iops=100`, `:write-iops=` a container's is no faster than that a second (`10M+64M`: and
    /// 64M at once after a pause). Twice at most; the disks are /dev/vdb and /dev/vdc, in this order
    #[arg(long, value_name = "FILE[:ro][:format=raw|qcow2][:LIMIT=RATE]")]
    pub disk: Vec<DiskOption>,
    /// What the program runs in.
    #[command(flatten, next_help_heading = "Image")]
    pub contents: Contents,
    /// What the program is run with.
    #[command(flatten, next_help_heading = "Program")]
    pub program: ProgramOptions,
    /// End the program after this time (seconds, or 500ms, 2m, 1h) and exit with 124
    #[arg(long, allow_hyphen_values = true, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Its network.
    #[command(flatten, next_help_heading = "Network")]
    pub network: NetworkArgs,
    /// The program and its arguments
    #[arg(
        required_unless_present_any = ["entrypoint", "oci"],
        last = true,
        value_name = "CMD",
        help_heading = "Arguments"
    )]
    pub command: Vec<OsString>,
}

/// Reads a number of processors.
fn parse_processors(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=64).contains(number));
    number.ok_or_else(|| "expected a whole number of processors, from 1 to 64".to_owned())
}

/// `demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Rows of the table that SQLite works on
    #[arg(
        long, allow_hyphen_values = true, value_name = "N", default_value_t = 100_000,
        value_parser = clap::value_parser!(u32).range(1000..=10_000_000)
    )]
    pub rows: u32,
    /// Work of the paper's kinds instead.
    #[command(flatten)]
    pub compared: Compared,
}

/// `build`
#[derive(Debug, Args)]
pub struct Build {
    /// Outputs of the flake, such as cki-kernel
    #[arg(required = true, value_name = "ATTR", value_parser = elsewhere::output)]
    pub attrs: Vec<String>,
}

/// `fetch`
#[derive(Debug, Args)]
pub struct Fetch {
    /// Only what these outputs need [default: everything]
    #[arg(value_name = "ATTR")]
    pub attrs: Vec<String>,
}

/// `lock`
#[derive(Debug, Args)]
pub struct Lock {
    /// Take the newest versions that the mirror has
    #[arg(long)]
    pub update: bool,
    /// Change nothing; fail when the lock file does not satisfy the request, is not what the archive has signed,
    /// or names files that are gone
    #[arg(long, conflicts_with = "update")]
    pub check: bool,
    /// Only compare lock file and request, which needs no network
    #[arg(long, requires = "check")]
    pub offline: bool,
    /// Take what the archive itself says is too old to be believed, such as a snapshot
    #[arg(long, conflicts_with = "check")]
    pub accept_expired: bool,
}

/// `prune`
#[derive(Debug, Args)]
pub struct Prune {
    /// Remove images that have not been used for this time (12h, 30d, with its unit; those of the last minute stay)
    #[arg(long, allow_hyphen_values = true, value_name = "TIME", default_value = "30d", value_parser = parse_age)]
    pub older_than: Duration,
    /// Remove those used longest ago, too, until the others take no more than this
    #[arg(long, allow_hyphen_values = true, value_name = "SIZE")]
    pub keep: Option<Memory>,
    /// Only say what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Outputs of the flake, such as cki-host
    #[arg(required = true, value_name = "ATTR")]
    pub attrs: Vec<String>,
    /// Cores of the second build [default: another number than the first build's]
    #[arg(long, allow_hyphen_values = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub cores: Option<u32>,
}

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// Only tests whose name contains this
    pub filter: Option<String>,
    /// The long forms of tests, too: a minute instead of seconds, all pairs instead of some
    #[arg(long)]
    pub all: bool,
    /// Run nothing: print the variables that tests by hand need, for the shell; the word is a file of tests/tests then,
    /// and only what that one needs is built
    #[arg(long, conflicts_with = "all")]
    pub env: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_after_the_double_dash_belong_to_the_program() {
        let cli = Cli::try_parse_from([
            "cki-build",
            "run",
            "--deb",
            "lua5.4",
            "--deb=sqlite3",
            "-m",
            "2G",
            "--env",
            "A=1",
            "--",
            "lua5.4",
            "-e",
            "--json",
        ])
        .expect("valid");
        let Command::Run(run) = cli.command else {
            panic!("not run")
        };
        assert_eq!(run.command, ["lua5.4", "-e", "--json"]);
        assert_eq!(run.contents.packages.deb, ["lua5.4", "sqlite3"]);
        assert_eq!(run.memory.mib(), 2048);
        assert_eq!(run.runtime, Runtime::Cki);
        assert!(!cli.global.json);
    }

    #[test]
    fn help_of_run_has_its_options_by_what_they_are_about() {
        let mut cli = Cli::command();
        cli.build();
        let run = cli.find_subcommand("run").expect("the command");
        for (option, heading) in [
            ("memory", "Machine"),
            ("deb", "Image"),
            ("user", "Program"),
            ("timeout", "Program"),
            ("publish", "Network"),
            ("allow", "Network"),
            ("json", "Options of every command"),
            ("command", "Arguments"),
        ] {
            let argument = run
                .get_arguments()
                .find(|argument| argument.get_id() == option)
                .unwrap_or_else(|| panic!("no {option}"));
            assert_eq!(argument.get_help_heading(), Some(heading), "{option}");
        }
    }

    #[test]
    fn global_options_work_on_both_sides_of_the_command() {
        for words in [
            ["cki-build", "--json", "doctor"],
            ["cki-build", "doctor", "--json"],
        ] {
            assert!(Cli::try_parse_from(words).expect("valid").global.json);
        }
    }

    #[test]
    fn standard_output_is_the_programs_where_one_is_run() {
        for (line, is_the_programs) in [
            ("cki-build run -- ls", true),
            ("cki-build exec web -- ls", true),
            ("cki-build machine ssh -- ls", true),
            ("cki-build machine status", false),
            ("cki-build list", false),
        ] {
            let cli = Cli::try_parse_from(line.split_whitespace()).expect("valid");
            assert_eq!(cli.command.runs_a_program(), is_the_programs, "{line}");
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for words in [
            &["cki-build"][..],
            &["cki-build", "run"],
            &["cki-build", "run", "--runtime", "docker", "--", "true"],
            &["cki-build", "run", "--cpus", "0", "--", "true"],
            &["cki-build", "run", "--memory", "1K", "--", "true"],
            &["cki-build", "run", "--memory", "0.3G", "--", "true"],
            &["cki-build", "run", "--timeout", "0", "--", "true"],
            &["cki-build", "run", "--workdir", "tmp", "--", "true"],
            &[
                "cki-build",
                "run",
                "--deb",
                "a",
                "--image",
                "b",
                "--",
                "true",
            ],
            &[
                "cki-build",
                "run",
                "--oci",
                "a",
                "--image",
                "b",
                "--",
                "true",
            ],
            &["cki-build", "run", "--image", "b"],
            &["cki-build", "run", "--closure", "b"],
            &[
                "cki-build",
                "run",
                "--oci",
                "a",
                "--closure",
                "b",
                "--",
                "true",
            ],
            &["cki-build", "image", "app", "-o", "x.img"],
            &["cki-build", "lock", "--update", "--check"],
            &["cki-build", "verify"],
        ] {
            assert!(Cli::try_parse_from(words).is_err(), "{words:?}");
        }
    }
}

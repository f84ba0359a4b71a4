// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line of `cki`.

use std::path::PathBuf;
use std::time::Duration;

use cki_disk::DiskOption;
use cki_frontend::{BesideOptions, ProgramOptions};
use cki_launcher::health::Plan;
use cki_launcher::inherited;
use cki_launcher::jail::rights::Account;
use cki_session::values::parse_duration;
use cki_session::{Container, ContainerName, Memory, Signal, Status};
use clap::{Args, Id, Parser, Subcommand};

use cki_abi::uapi::DEVICE;

use crate::options::NetworkArgs;

/// Runs programs in CKI containers: each on a Linux kernel of its own, deprivileged by the CPU.
#[derive(Debug, Parser)]
#[command(name = "cki", version, after_help = exit_statuses(), max_term_width = 100)]
pub struct Cli {
    /// The device of the host module
    #[arg(long, global = true, value_name = "FILE", default_value = DEVICE)]
    pub device: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The table that `--help` ends with.
fn exit_statuses() -> String {
    let ours = "\
Exit status:
  0      done; for `run` and `exec`, the program's own status (also every other one)
  1      `info`: no container can run here; `health`: the container is unhealthy";
    format!("{ours}\n{}", Status::RUN_HELP)
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program in a new container
    Run(Box<RunArgs>),
    /// Run another program in a container that runs (`run --name`)
    Exec(Box<ExecArgs>),
    /// Show the containers that run under a name
    List {
        /// A JSON array of objects instead of text
        #[arg(long)]
        json: bool,
    },
    /// Show what a container has counted so far: world switches, page tables, requests to its devices, and more
    Stats(StatsArgs),
    /// Send a signal to the program of a container
    Kill(KillArgs),
    /// Check a container again and again, by a command in it whose status 0 says that all is well
    #[command(
        after_help = "The status is 1 when the container is unhealthy, and 0 when it has ended."
    )]
    Health(HealthArgs),
    /// Say whether this machine runs containers, how isolated they are, and how much memory is free
    Info {
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Print a completion script
    #[command(hide = true)]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages
    #[command(hide = true)]
    Man {
        /// Into which directory
        #[arg(long, value_name = "DIRECTORY")]
        out: PathBuf,
    },
}

/// Options of `cki exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Take the request for a process, and signals to it, from this inherited descriptor (a socket), and write there
    /// what becomes of it, in the messages of abi/session; instead of NAME, CMD and its options
    #[arg(
        long,
        value_name = "FD",
        value_parser = clap::value_parser!(i32).range(3..),
        conflicts_with_all = ["ProcessOptions", "name", "argv"]
    )]
    pub session_fd: Option<i32>,
    /// What the program is run with; what is not said is as for the container's own.
    #[command(flatten)]
    pub process: BesideOptions,
    /// The container
    #[arg(required_unless_present = "session_fd")]
    pub name: Option<ContainerName>,
    /// The program and its arguments
    #[arg(
        trailing_var_arg = true,
        value_name = "CMD",
        required_unless_present = "session_fd"
    )]
    pub argv: Vec<String>,
}

/// Options of `cki health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Time from the end of a check to the next
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub interval: Duration,
    /// A check that takes longer has failed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// So many checks that fail one after the other make the container unhealthy
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    pub retries: u32,
    /// What fails in this time does not count, until a check has succeeded [default: no time]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub start_period: Option<Duration>,
    /// End a container that has become unhealthy
    #[arg(long)]
    pub kill: bool,
    /// The container
    pub name: ContainerName,
    /// The command, which runs as the container's program does, and its arguments; status 0 is success
    #[arg(trailing_var_arg = true, value_name = "CMD", required = true)]
    pub argv: Vec<String>,
}

impl HealthArgs {
    /// How often, and what is made of it.
    pub fn plan(&self) -> Plan {
        Plan {
            interval: self.interval,
            timeout: self.timeout,
            retries: self.retries,
            start_period: self.start_period.unwrap_or_default(),
        }
    }
}

/// Options of `cki stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// The container
    pub name: ContainerName,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// Options of `cki kill`.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// The container
    pub name: ContainerName,
    /// The signal; KILL ends the container at once
    #[arg(default_value = "KILL")]
    pub signal: Signal,
}

/// What belongs to a request, which a client of `--session-fd` makes itself, besides the options of `cki run` that say
/// so themselves.
fn of_the_request() -> Vec<Id> {
    let program = options::<ProgramOptions>();
    program
        .into_iter()
        .chain(options::<NetworkArgs>())
        .collect()
}

/// All options of a struct, those of its parts too. Its group has them only if it has no parts.
fn options<A: Args>() -> Vec<Id> {
    let command = A::augment_args(clap::Command::new("cki"));
    let options = command.get_arguments();
    options.map(|option| option.get_id().clone()).collect()
}

/// Options of `cki run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The guest kernel: an ELF vmlinux built with CONFIG_CKI_GUEST
    #[arg(long, value_name = "FILE")]
    pub kernel: PathBuf,
    /// The initial ramdisk, with cki-init as /init
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// The application: an EROFS image with a root file system
    #[arg(long, value_name = "FILE", required_unless_present = "console")]
    pub image: Option<PathBuf>,
    /// What the image says of its program, for all that is not said here: a file that `cki-build image oci --config`
    /// has written
    #[arg(long, value_name = "FILE", requires = "image", conflicts_with_all = ["console", "session_fd"])]
    pub image_config: Option<PathBuf>,
    /// Take the request to run a program, and signals to it, from this inherited descriptor (a socket), and
    /// write there what becomes of it, in the messages of abi/session; instead of CMD and its options
    #[arg(
        long,
        value_name = "FD",
        value_parser = clap::value_parser!(i32).range(3..),
        conflicts_with_all = of_the_request()
    )]
    pub session_fd: Option<i32>,
    /// Give the container a disk: a file or block device, raw; with `:ro`, it cannot be written, and with
    /// `:read-bps=10M`, `:write-bps=`, `:read-iops=100`, `:write-iops=` it is no faster than that a second (`10M+64M`:
    /// and 64M at once after a pause). May be repeated; the disks are /dev/vdb, /dev/vdc, ... in this order
    #[arg(
        long,
        value_name = "FILE[:ro][:LIMIT=RATE]",
        conflicts_with = "session_fd"
    )]
    pub disk: Vec<DiskOption>,
    /// Let the container be found by `cki exec`, `cki list` and `cki kill` under this name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["session_fd", "console", "vsock"])]
    pub name: Option<ContainerName>,
    /// Take the volume of this name, of the request that comes on --session-fd, from this inherited descriptor: a
    /// stream of FUSE messages; may be repeated
    #[arg(long, value_name = "NAME=FD", requires = "session_fd", value_parser = inherited::parse)]
    pub volume_fd: Vec<(String, i32)>,
    /// Take the disk with this serial number, of the request that comes on --session-fd, from this inherited
    /// descriptor of a file or block device, raw; may be repeated
    #[arg(long, value_name = "SERIAL=FD", requires = "session_fd", value_parser = inherited::parse)]
    pub disk_fd: Vec<(String, i32)>,
    /// Connect the container's vsock (context 3) to Unix sockets: who connects to FILE and says `CONNECT port`
    /// speaks with that port of the container; a connection of the container's to port P goes to FILE_P
    #[arg(long, value_name = "FILE")]
    pub vsock: Option<PathBuf>,
    /// Whom the launcher becomes before the guest runs, if root starts it [default: a user that nobody else is]
    #[arg(long, value_name = "UID[:GID]")]
    pub jail_user: Option<Account>,
    /// Memory of the container (512M, 1.5G; a number alone is MiB)
    #[arg(long, short, value_name = "SIZE", default_value_t = Container::DEFAULT_MEMORY, conflicts_with = "session_fd")]
    pub memory: Memory,
    /// Of this, memory set aside for page tables [default: a 16th, at least 4M]
    #[arg(long, value_name = "SIZE", conflicts_with = "session_fd")]
    pub page_tables: Option<Memory>,
    /// Virtual processors; this version runs one
    #[arg(
        long,
        short,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1),
        conflicts_with = "session_fd"
    )]
    pub cpus: u32,
    /// Appended to the guest kernel's command line
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        allow_hyphen_values = true,
        conflicts_with = "session_fd"
    )]
    pub cmdline: String,
    /// What the program is run with.
    #[command(flatten)]
    pub program: ProgramOptions,
    /// End the program after this time and exit with 124 (30, 1.5, 500ms, 2m, 1h 30m)
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "session_fd")]
    pub timeout: Option<Duration>,
    /// Its network.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Give up when the program does not run after this time
    #[arg(long, value_name = "TIME", default_value = "120", value_parser = parse_duration)]
    pub start_timeout: Duration,
    /// Show the guest kernel's console on standard error
    #[arg(long, conflicts_with = "session_fd")]
    pub verbose: bool,
    /// Print the isolation that the machine provides on standard error once the container is up
    #[arg(long, conflicts_with = "session_fd")]
    pub print_isolation: bool,
    /// Connect the guest kernel's console to standard input and output instead of running a program
    #[arg(long, conflicts_with_all = ["argv", "ProcessOptions", "entrypoint", "session_fd"])]
    pub console: bool,
    /// Print what the container took on standard error when it has ended, as one JSON object; for
    /// measurements
    #[arg(long, hide = true)]
    pub print_counts: bool,
    /// Do not restrict the launcher's own system calls; for debugging the launcher
    #[arg(long, hide = true)]
    pub no_seccomp: bool,
    /// The program and its arguments
    #[arg(
        trailing_var_arg = true,
        value_name = "CMD",
        required_unless_present_any = ["console", "session_fd", "entrypoint", "image_config"],
        conflicts_with = "session_fd"
    )]
    pub argv: Vec<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    fn run(line: &str) -> RunArgs {
        match parse(line).unwrap().command {
            Command::Run(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_program_keeps_its_own_options() {
        let args = run("cki run --kernel k --image r --memory 1G -e A=b=c -- ls -l --memory 3");
        assert_eq!(args.argv, ["ls", "-l", "--memory", "3"]);
        assert_eq!(args.memory.mib(), 1024);
        assert_eq!(args.program.process.env, ["A=b=c".parse().unwrap()]);
    }

    #[test]
    fn the_console_needs_no_program() {
        let args = run("cki run --kernel k --initrd i --console --cmdline -x");
        assert!(args.argv.is_empty() && args.console);
        assert_eq!(args.cmdline, "-x");
        assert!(parse("cki run --kernel k --console -- ls").is_err());
    }

    #[test]
    fn a_request_comes_whole_from_the_options_or_from_the_descriptor() {
        let args = run("cki run --kernel k --image r --session-fd 3 --start-timeout 5");
        assert_eq!(args.session_fd, Some(3));
        for option in [
            "--memory 1G",
            "--page-tables 4M",
            "--cpus 1",
            "--cmdline x",
            "--env A=b",
            "--workdir /",
            "--hostname h",
            "-t",
            "--user daemon",
            "--read-only",
            "--rm",
            "--entrypoint sh",
            "--timeout 5",
            "--network user",
            "--publish 8080:80",
            "--dns 192.0.2.1",
            "--add-host a:192.0.2.1",
            "--ip 10.0.0.1/8",
            "--allow 192.0.2.1",
            "--egress-rate 1M",
            "--verbose",
            "--volume a:/b",
            "--disk d",
            "--print-isolation",
            "--console",
            "-- ls",
        ] {
            let line = format!("cki run --kernel k --image r --session-fd 3 {option}");
            assert!(parse(&line).is_err(), "{line}");
        }
    }

    /// Whoever adds an option says whether a request has it: it excludes the descriptor, or is one of these.
    #[test]
    fn each_option_is_the_launchers_own_or_belongs_to_the_request() {
        const OWN: [&str; 12] = [
            "device",
            "disk_fd",
            "image",
            "initrd",
            "jail_user",
            "kernel",
            "no_seccomp",
            "print_counts",
            "session_fd",
            "start_timeout",
            "volume_fd",
            "vsock",
        ];
        let mut cki = Cli::command();
        cki.build();
        let run = cki.find_subcommand("run").expect("it is there");
        let conflicts = |one: &clap::Arg, other: &clap::Arg| {
            let with = run.get_arg_conflicts_with(one);
            with.iter().any(|arg| arg.get_id() == other.get_id())
        };
        let mut options = run.get_arguments();
        let descriptor = options.find(|arg| arg.get_id() == "session_fd");
        let descriptor = descriptor.expect("it is there");
        for option in run.get_arguments() {
            let is_own = OWN.contains(&option.get_id().as_str()) || option.get_id() == "help";
            let is_excluded = conflicts(option, descriptor) || conflicts(descriptor, option);
            assert_ne!(is_own, is_excluded, "{option:?}");
        }
    }

    #[test]
    fn a_process_for_a_container_comes_whole_from_the_options_or_from_the_descriptor() {
        let Command::Exec(args) = parse("cki exec --session-fd 3").unwrap().command else {
            panic!("not exec")
        };
        assert_eq!(args.session_fd, Some(3));
        for rest in ["box", "box ls", "-t", "--user daemon", "--env A=b", "-i"] {
            let line = format!("cki exec --session-fd 3 {rest}");
            assert!(parse(&line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "cki run --image r -- ls",
            "cki run --kernel k -- ls",
            "cki run --kernel k --image r",
            "cki run --kernel k --image r --cpus 2 -- ls",
            "cki run --kernel k --image r --memory 0 -- ls",
            "cki run --kernel k --image r --memory 100K -- ls",
            "cki run --kernel k --image r --memory 1P -- ls",
            "cki run --kernel k --image r --memory 999999999G -- ls",
            "cki run --kernel k --image r --timeout 0 -- ls",
            "cki run --kernel k --image r --timeout -1 -- ls",
            "cki run --kernel k --image r --env =x -- ls",
            "cki run --kernel k --image r --workdir tmp -- ls",
            "cki run --kernel k --image r --session-fd 2",
            "cki run --kernel k --image r --session-fd 3 --image-config c",
            "cki run --kernel k --image r --console --image-config c",
            "cki run --kernel k --console --image-config c",
            "cki run --kernel k --image r --session-fd x",
            "cki run --kernel k --session-fd 3",
            "cki exec",
            "cki exec box",
            "cki exec --session-fd 2",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}

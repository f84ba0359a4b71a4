// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line of `cki`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Runs programs in CKI containers: each on a Linux kernel of its own, deprivileged by the CPU.
#[derive(Debug, Parser)]
#[command(name = "cki", version, max_term_width = 100)]
pub struct Cli {
    /// The device of the host module
    #[arg(long, global = true, value_name = "FILE", default_value = "/dev/cki")]
    pub device: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program in a new container
    Run(Box<RunArgs>),
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
    pub root: Option<PathBuf>,
    /// Memory of the container (512M, 2G; a number alone is MiB)
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_memory)]
    pub memory: u64,
    /// Of this, memory set aside for page tables [default: a 32nd, at least 4M]
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    pub page_tables: Option<u64>,
    /// Virtual processors; this version runs one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1))]
    pub cpus: u32,
    /// Appended to the guest kernel's command line
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub cmdline: String,
    /// Set a variable in the program's environment; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub env: Vec<(String, String)>,
    /// Working directory in the image
    #[arg(long, value_name = "DIRECTORY", default_value = "/root")]
    pub cwd: String,
    /// Host name of the container
    #[arg(long, value_name = "NAME", default_value = "cki")]
    pub hostname: String,
    /// End the program after this time, with status 124 (30, 1.5, 2m, 1h 30m)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Give up when the program does not run after this time
    #[arg(long, value_name = "TIME", default_value = "120", value_parser = parse_duration)]
    pub start_timeout: Duration,
    /// Show the guest kernel's console on standard error
    #[arg(long, short)]
    pub verbose: bool,
    /// Print the isolation that the machine provides on standard error once the container is up
    #[arg(long)]
    pub print_isolation: bool,
    /// Write JSON messages about the program to this inherited descriptor: that it was started, and how
    /// it ended or why it could not be run, which is then not said on standard error
    #[arg(long, value_name = "FD", value_parser = clap::value_parser!(i32).range(3..))]
    pub json_status_fd: Option<i32>,
    /// Connect the guest kernel's console to standard input and output instead of running a program
    #[arg(long, conflicts_with_all = ["argv", "env"])]
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
        value_name = "COMMAND",
        required_unless_present = "console"
    )]
    pub argv: Vec<String>,
}

/// Bytes in `512M`, `2G`, `2GiB`; a number alone is MiB. Whole MiB only.
fn parse_memory(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a number with an optional unit, such as 512M or 2G".to_owned())?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let shift = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "k" => 10,
        "" | "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(format!("unknown unit {unit:?}: use K, M, G or T")),
    };
    let bytes = number
        .checked_mul(1 << shift)
        .filter(|&bytes| bytes <= 1 << 38)
        .ok_or("a container has at most 256 GiB")?;
    if bytes == 0 || bytes % (1 << 20) != 0 {
        return Err("expected a whole number of MiB, more than 0".to_owned());
    }
    Ok(bytes)
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?,
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string())?,
    };
    if duration.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(duration)
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
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
        let args = run("cki run --kernel k --root r --memory 1G -e A=b=c -- ls -l --memory 3");
        assert_eq!(args.argv, ["ls", "-l", "--memory", "3"]);
        assert_eq!(args.memory, 1 << 30);
        assert_eq!(args.env, [("A".to_owned(), "b=c".to_owned())]);
    }

    #[test]
    fn the_console_needs_no_program() {
        let args = run("cki run --kernel k --initrd i --console --cmdline -x");
        assert!(args.argv.is_empty() && args.console);
        assert_eq!(args.cmdline, "-x");
        assert!(parse("cki run --kernel k --console -- ls").is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "cki run --root r -- ls",
            "cki run --kernel k -- ls",
            "cki run --kernel k --root r",
            "cki run --kernel k --root r --cpus 2 -- ls",
            "cki run --kernel k --root r --memory 0 -- ls",
            "cki run --kernel k --root r --memory 100K -- ls",
            "cki run --kernel k --root r --memory 1P -- ls",
            "cki run --kernel k --root r --memory 999999999G -- ls",
            "cki run --kernel k --root r --timeout 0 -- ls",
            "cki run --kernel k --root r --timeout -1 -- ls",
            "cki run --kernel k --root r --env =x -- ls",
            "cki run --kernel k --root r --json-status-fd 2 -- ls",
            "cki run --kernel k --root r --json-status-fd x -- ls",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}

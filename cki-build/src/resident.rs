// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line of a machine that stays up: `machine`, `exec`, `list`, `stats`, `kill`.

use cki_frontend::BesideOptions;
use cki_session::{ContainerName, Memory, Signal};
use clap::{Args, Subcommand};

/// The machine of those who name none.
pub const DEFAULT: &str = "default";
/// What `run --machine` calls a machine that is there for one program. No machine that stays up has this name.
pub const OWN: &str = "own";
/// The variable with the name of the machine of those who name none on the command line.
pub const VARIABLE: &str = "CKI_MACHINE";

/// The machine that stays up which a command is about, all but `run`: the one that it names, or the variable's.
///
/// That `run` is to start machines of its own, which the variable can say, is nothing to the others.
#[must_use]
pub fn named<'a>(given: Option<&'a str>, variable: Option<&'a str>) -> &'a str {
    let variable = variable.filter(|&name| name != OWN);
    given.or(variable).unwrap_or(DEFAULT)
}

/// `machine`
#[derive(Debug, Args)]
pub struct Machine {
    /// What to do with it
    #[command(subcommand)]
    pub what: What,
}

/// What is done with a machine that stays up.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Start a machine, which stays up until it is stopped
    Start(Start),
    /// End a machine: its programs get SIGTERM, and ten seconds
    Stop(Named),
    /// Say how a machine is; the status is 1 when it is not up
    Status(Named),
    /// Say which machines are up, and how they are
    #[command(visible_alias = "ls")]
    List,
    /// Run a shell, or a command, as root of the machine itself, beside its containers
    Ssh(Ssh),
}

/// A machine.
#[derive(Debug, Clone, Args)]
pub struct Named {
    /// Name of the machine [default: that of the variable CKI_MACHINE, or default]
    pub name: Option<String>,
}

impl Named {
    /// As [`named`].
    #[must_use]
    pub fn name<'a>(&'a self, variable: Option<&'a str>) -> &'a str {
        named(self.name.as_deref(), variable)
    }
}

/// `machine start`
#[derive(Debug, Args)]
pub struct Start {
    /// Its name.
    #[command(flatten)]
    pub machine: Named,
    /// Memory for all of its containers together
    #[arg(
        short,
        long,
        allow_hyphen_values = true,
        value_name = "SIZE",
        default_value = "4G"
    )]
    pub memory: Memory,
    /// Number of processors [default: as many as there are here, 8 at most]
    #[arg(
        short, long, allow_hyphen_values = true, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=64)
    )]
    pub cpus: Option<u32>,
    /// How many programs run at a time, containers and `exec` together
    #[arg(
        long, allow_hyphen_values = true, value_name = "N", default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..=64)
    )]
    pub places: u32,
    /// Give it no network card, and so none to its containers
    #[arg(long)]
    pub no_network: bool,
}

/// `machine ssh`
#[derive(Debug, Args)]
pub struct Ssh {
    /// Its name.
    #[command(flatten)]
    pub machine: Named,
    /// The command and its arguments [default: a shell]
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Which machine a container is in.
#[derive(Debug, Clone, Args)]
pub struct In {
    /// The machine that stays up [default: that of the variable CKI_MACHINE, or default]
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
}

impl In {
    /// As [`named`].
    #[must_use]
    pub fn name<'a>(&'a self, variable: Option<&'a str>) -> &'a str {
        named(self.machine.as_deref(), variable)
    }
}

/// `exec`
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Its machine.
    #[command(flatten)]
    pub machine: In,
    /// What the program is run with; what is not said is as for the container's own.
    #[command(flatten)]
    pub process: BesideOptions,
    /// The container, as `list` calls it
    pub container: ContainerName,
    /// The program and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// `list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Its machine.
    #[command(flatten)]
    pub machine: In,
}

/// `stats`
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Its machine.
    #[command(flatten)]
    pub machine: In,
    /// The container, as `list` calls it
    pub container: ContainerName,
}

/// `kill`
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Its machine.
    #[command(flatten)]
    pub machine: In,
    /// The container, as `list` calls it
    pub container: ContainerName,
    /// The signal; KILL ends the container at once
    #[arg(default_value = "KILL")]
    pub signal: Signal,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_name_that_no_container_can_have_is_refused_by_the_command_line() {
        for words in [
            "run --name NAME -- a",
            "exec NAME -- a",
            "kill NAME",
            "stats NAME",
        ] {
            let parse = |name: &str| {
                let line = format!("cki-build {}", words.replace("NAME", name));
                Cli::try_parse_from(line.split_whitespace())
            };
            assert!(parse("web").is_ok(), "{words}");
            let error = parse("a/b").unwrap_err().to_string();
            assert!(error.contains("1 to 64 letters"), "{words}: {error}");
        }
    }

    #[test]
    fn the_variable_names_the_machine_of_those_who_name_none() {
        assert_eq!(named(None, None), DEFAULT);
        assert_eq!(named(None, Some("work")), "work");
        assert_eq!(named(Some("other"), Some("work")), "other");
        // What the variable says of `run`, and what nobody can do.
        assert_eq!(named(None, Some(OWN)), DEFAULT);
        assert_eq!(named(Some(OWN), None), OWN);
    }
}

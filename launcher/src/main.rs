//! `cki`: runs programs in CKI containers.

mod cli;
mod commands;

use std::process::ExitCode;

use cki_launcher::run::outcome::Outcome;
use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(args) => commands::run(&cli.device, *args),
        Command::Info { json } => commands::info(&cli.device, json),
        Command::Completions { shell } => commands::completions(shell),
        Command::Man { out } => commands::man(&out),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("cki: {error:#}");
            ExitCode::from(Outcome::FAILURE)
        }
    }
}

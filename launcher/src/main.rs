// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki`: runs programs in CKI containers.

mod cli;
mod commands;
mod json;
mod options;
mod sentence;

use std::process::ExitCode;

use cki_launcher::backend::standby;
use cki_session::{Status, complain};
use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::sentence::sentence;

fn main() -> ExitCode {
    cki_launcher::heap::have_one();
    cki_disk::size_limit::have_it_be_an_error();
    let elsewhere = [cki_volume::serve::if_asked, standby::if_asked];
    if let Some(code) = elsewhere.iter().find_map(|asked| asked()) {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render().to_string();
            return Status::of_usage(&text, error.use_stderr()).into();
        }
    };
    let result = match cli.command {
        Command::Run(args) => commands::run(&cli.device, &args),
        Command::Exec(args) => commands::exec(&cli.device, &args),
        Command::Health(args) => commands::health(&cli.device, &args),
        Command::List { json } => commands::list(json),
        Command::Stats(args) => commands::stats(&args),
        Command::Kill(args) => commands::kill(&args),
        Command::Info { json } => commands::info(&cli.device, json),
        Command::Completions { shell } => commands::completions(shell),
        Command::Man { out } => commands::man(&out),
    };
    match result {
        Ok(status) => status.into(),
        Err(error) => {
            complain(&format!("cki: {}", sentence(&error)));
            Status::FAILED.into()
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki`: runs programs in CKI containers.

mod cli;
mod commands;

use std::process::ExitCode;

use cki_session::Status;
use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render().to_string();
            return Status::of_usage(&text, error.use_stderr()).into();
        }
    };
    let result = match cli.command {
        Command::Run(args) => commands::run(&cli.device, &args),
        Command::Info { json } => commands::info(&cli.device, json),
        Command::Completions { shell } => commands::completions(shell),
        Command::Man { out } => commands::man(&out),
    };
    match result {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("cki: {}", sentence(&error));
            Status::FAILED.into()
        }
    }
}

/// An error with its causes. Some of our errors quote their cause; that is not said twice.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut text, cause| {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_is_quoted_is_not_said_twice() {
        let error = anyhow::anyhow!("no such note");
        assert_eq!(
            sentence(&error.context("kernel k: no such note").context("run")),
            "run: kernel k: no such note"
        );
    }
}

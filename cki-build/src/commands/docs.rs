// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build completions` and `cki-build man`

use std::path::Path;

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::error::Error;
use crate::output::print_bytes;
use cki_session::Status;

/// In bash's script, what clap_complete 4.6 calls the states below a program with a hyphen in its name where it asks
/// for them, and where it sets them (clap's issue 6421): nothing would be completed behind a subcommand.
const BASH_STATES: (&str, &str) = ("cki__subcmd__build", "cki__build");

pub(super) fn completions(shell: clap_complete::Shell) -> Result<Status, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cki-build", &mut script);
    if shell == clap_complete::Shell::Bash {
        let (asked, set) = BASH_STATES;
        script = String::from_utf8_lossy(&script)
            .replace(asked, set)
            .into_bytes();
    }
    print_bytes(&script)?;
    Ok(Status::OK)
}

pub(super) fn man(out: Option<&Path>) -> Result<Status, Error> {
    match out {
        Some(dir) => {
            let failed = |source| Error::Io {
                path: dir.to_owned(),
                source,
            };
            std::fs::create_dir_all(dir).map_err(failed)?;
            clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(|source| Error::Io {
                    path: "manual page".into(),
                    source,
                })?;
            print_bytes(&page)?;
        }
    }
    Ok(Status::OK)
}

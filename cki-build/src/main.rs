// SPDX-License-Identifier: MIT OR Apache-2.0

//! The `cki-build` program: parses the command line, runs the command, ends with its status.

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    cki_disk::size_limit::have_it_be_an_error();
    if let Some(code) = cki_volume::serve::if_asked() {
        return code;
    }
    let close_others = || cki_volume::sandbox::close_others().map_err(std::io::Error::other);
    if let Some(code) = cki_machine::resident::serve_if_asked(close_others) {
        return code;
    }
    let cli = match cki_build::cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cki_build::usage::report(error),
    };
    cki_build::logging::start(cli.global.verbose);
    match cki_build::commands::dispatch(&cli) {
        Ok(status) => status.into(),
        Err(error) => {
            let status = error.exit_status();
            // Whoever has read enough wants no word about it, as of any other program.
            if matches!(error, cki_build::error::Error::BrokenPipe) {
                return status.into();
            }
            let text = cki_build::logging::report(&anyhow::Error::new(error));
            if cli.global.json && cli.command.runs_a_program() {
                cki_build::ending::Ending::failed(status, text).write();
            } else if cli.global.json {
                // Why it cannot be written has been said.
                let _ = cki_build::output::print_json(&serde_json::json!({ "error": text }));
            }
            status.into()
        }
    }
}

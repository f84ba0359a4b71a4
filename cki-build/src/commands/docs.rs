// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build completions` and `cki-build man`

use std::io;
use std::path::Path;

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::error::Error;
use crate::output::print_bytes;
use cki_process::files::write_atomically;
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
            let mut command = Cli::command();
            command.build();
            write_pages(&command, dir).map_err(failed)?;
        }
        None => {
            let (_, page) = page(Cli::command()).map_err(|source| Error::Io {
                path: "manual page".into(),
                source,
            })?;
            print_bytes(page.as_bytes())?;
        }
    }
    Ok(Status::OK)
}

/// Writes the page of a command, which is built, and those of the commands below it.
fn write_pages(command: &clap::Command, dir: &Path) -> io::Result<()> {
    let (name, text) = page(command.clone())?;
    // Where there is no room, no page is left that is half of one.
    write_atomically(&dir.join(name), text.as_bytes())?;
    let mut below = command.get_subcommands();
    below.try_for_each(|below| match below.get_name() {
        "help" => Ok(()),
        _ => write_pages(below, dir),
    })
}

/// The name and the text of a command's page. Its synopsis is the usage that `--help` shows: clap_mangen's own has all
/// options one after the other, and those of every command among them.
fn page(mut command: clap::Command) -> io::Result<(String, String)> {
    let usage = command.render_usage().to_string();
    let man = clap_mangen::Man::new(command);
    let (name, mut text) = (man.get_filename(), Vec::new());
    man.render(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let usage = usage.trim_start_matches("Usage: ").replace('-', "\\-");
    let parts = text.split_once(".SH SYNOPSIS\n");
    let rest = parts.and_then(|(start, rest)| Some((start, rest.split_once(".SH ")?.1)));
    let text = match rest {
        Some((start, rest)) => format!("{start}.SH SYNOPSIS\n{usage}\n.SH {rest}"),
        None => text.into_owned(),
    };
    Ok((name, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_has_the_usage_of_its_command_for_a_synopsis() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Cli::command();
        command.build();
        write_pages(&command, dir.path()).expect("written");
        for (name, usage) in [
            ("cki-build", "cki\\-build [OPTIONS] <COMMAND>"),
            (
                "cki-build-run",
                "cki\\-build run [OPTIONS] [\\-\\- <CMD>...]",
            ),
            (
                "cki-build-machine-stop",
                "cki\\-build machine stop [OPTIONS] [NAME]",
            ),
        ] {
            let page = std::fs::read_to_string(dir.path().join(format!("{name}.1")));
            let synopsis = format!("\n.SH SYNOPSIS\n{usage}\n.SH DESCRIPTION\n");
            assert!(page.expect("a page").contains(&synopsis), "{name}");
        }
        assert!(!dir.path().join("cki-build-help.1").exists());
    }
}

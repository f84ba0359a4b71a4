// SPDX-License-Identifier: MIT OR Apache-2.0

//! The options of a process that is started beside a container's program.

use std::io;

use cki_session::{ContainerName, Run, Terminal};
use clap::{ArgMatches, Args, Command, Error, FromArgMatches, Id};

use crate::options::{ProcessOptions, ProgramError};
use crate::terminal::UserTerminal;

/// [`ProcessOptions`] of `exec`: what they do not say is as for the container's program, and the help says so.
#[derive(Debug, Clone, Default)]
pub struct BesideOptions(ProcessOptions);

/// Those options whose help names what a program has without them.
fn told(command: Command) -> Command {
    command
        .mut_arg("user", |option| {
            option.help("Whom the program runs as; looked up in the image [default: as the container's program]")
        })
        .mut_arg("workdir", |option| {
            option.help("Directory in which the program starts [default: that of the container's program]")
        })
}

impl Args for BesideOptions {
    fn group_id() -> Option<Id> {
        ProcessOptions::group_id()
    }

    fn augment_args(command: Command) -> Command {
        told(ProcessOptions::augment_args(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        told(ProcessOptions::augment_args_for_update(command))
    }
}

impl FromArgMatches for BesideOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        ProcessOptions::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl BesideOptions {
    /// The request to start `argv` with these options in the container `name`, beside its program.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub fn beside(
        &self,
        name: &ContainerName,
        argv: Vec<String>,
        terminal: impl FnOnce() -> Terminal,
    ) -> Result<Run, ProgramError> {
        let mut run = Run::new(Vec::<String>::new());
        run.exec = Some(name.clone());
        run.process = self.0.process(argv, terminal)?;
        Ok(run)
    }

    /// As [`ProcessOptions::terminal`].
    ///
    /// # Errors
    /// Those of [`ProcessOptions::terminal`].
    pub fn terminal(&self) -> io::Result<Option<UserTerminal>> {
        self.0.terminal()
    }
}

#[cfg(test)]
mod tests {
    use cki_session::Process;
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: BesideOptions,
    }

    #[test]
    fn the_help_names_no_default_but_the_containers_program() {
        let help = Cli::command().render_help().to_string();
        let defaults: Vec<_> = help.split("[default: ").skip(1).collect();
        assert_eq!(defaults.len(), 2, "{help}");
        let all = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for default in [
            "[default: as the container's program]",
            "[default: that of the container's program]",
        ] {
            assert!(all.contains(default), "{help}");
        }
    }

    #[test]
    fn a_process_beside_a_program_says_no_more_than_the_options_do() {
        let cli = Cli::try_parse_from("exec -t -e A=1 --cap-drop all".split_whitespace()).unwrap();
        let argv = vec!["sh".to_owned()];
        let web = "web".parse().unwrap();
        let run = cli.options.beside(&web, argv, || Terminal::USUAL);
        let run = run.unwrap();
        assert_eq!(run.exec.as_ref(), Some(&web));
        assert_eq!(run.check(), Ok(()));
        let mut program = Process::new(["server"]);
        program.user = Some("daemon".parse().unwrap());
        program.workdir = Some("/srv".to_owned());
        program.env = vec![
            ("A".to_owned(), "0".to_owned()),
            ("B".to_owned(), "2".to_owned()),
        ];
        program.ulimits = vec!["core=0".parse().unwrap()];
        let beside = run.process.clone().beside(&program);
        assert_eq!(beside.argv, ["sh"]);
        assert_eq!(beside.terminal, Some(Terminal::USUAL));
        assert_eq!(
            (&beside.user, &beside.workdir),
            (&program.user, &program.workdir)
        );
        assert_eq!(beside.ulimits, program.ulimits);
        assert_eq!(beside.capabilities.dropped().count(), 41);
        // Later ones win.
        let a = beside.env.iter().rev().find(|(name, _)| name == "A");
        assert_eq!(a.unwrap().1, "1");
        assert!(beside.env.contains(&program.env[1]));
        // What is said is the process's own.
        let mut told = run.process;
        told.user = Some("nobody".parse().unwrap());
        told.workdir = Some("/tmp".to_owned());
        let kept = told.clone().beside(&program);
        assert_eq!((kept.user, kept.workdir), (told.user, told.workdir));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build exec`, `list`, `kill`: `cki` of a machine that stays up is run there.

use std::io::Read;

use super::run;
use crate::context::Context;
use crate::ending::Ending;
use crate::error::Error;
use crate::place;
use crate::resident::{Exec, Kill, List};
use cki_frontend::UserTerminal;
use cki_machine::resident::{Up, Wanted};
use cki_machine::{Io, MachineError, TimeLimit};
use cki_session::{Outcome, Process, Run, Status, Terminal};

pub(super) fn exec(context: &Context, args: &Exec) -> Result<Status, Error> {
    // The size is that of the terminal in which `cki exec` runs, which knows it.
    let process = args
        .process
        .process(args.command.clone(), || Terminal::USUAL);
    let process = process.map_err(|error| MachineError::Request(error.to_string()))?;
    let request = Run::new(words(args, &process));
    let tty = args.process.tty;
    in_machine(context, &args.machine.machine, request, tty, true)
}

pub(super) fn list(context: &Context, args: &List) -> Result<Status, Error> {
    let json = context.global.json.then_some("--json");
    let request = Run::new(["cki", "list"].into_iter().chain(json));
    in_machine(context, &args.machine.machine, request, false, false)
}

pub(super) fn kill(context: &Context, args: &Kill) -> Result<Status, Error> {
    let signal = args.signal.to_string();
    let request = Run::new(["cki", "kill", &args.container, &signal]);
    in_machine(context, &args.machine.machine, request, false, false)
}

/// The command line of `cki exec` that means the same.
fn words(args: &Exec, process: &Process) -> Vec<String> {
    let options = &args.process;
    let mut words = vec!["cki".to_owned(), "exec".to_owned()];
    let flags = [(options.interactive, "-i"), (options.tty, "-t")];
    words.extend(
        flags
            .iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, flag)| (*flag).to_owned()),
    );
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    if let Some(user) = &options.user {
        option("--user", user.to_string());
    }
    if let Some(workdir) = &options.workdir {
        option("--workdir", workdir.clone());
    }
    for (name, value) in &process.env {
        option("--env", format!("{name}={value}"));
    }
    for limit in &options.ulimit {
        option("--ulimit", limit.to_string());
    }
    for capability in &options.cap_add {
        option("--cap-add", capability.to_string());
    }
    for capability in &options.cap_drop {
        option("--cap-drop", capability.to_string());
    }
    words.extend(["--".to_owned(), args.container.clone()]);
    words.extend(args.command.iter().cloned());
    words
}

/// Runs a program in a machine that stays up, beside its containers.
pub(super) fn in_machine(
    context: &Context,
    machine: &str,
    mut request: Run,
    tty: bool,
    reads: bool,
) -> Result<Status, Error> {
    let up = Up::expect(&place::directory(context, machine)?)?;
    let terminal = tty.then(UserTerminal::of_streams).transpose();
    let terminal = terminal.map_err(Error::Terminal)?;
    if let Some(terminal) = &terminal {
        request.process.terminal = Some(terminal.size());
        request.process.env.extend(UserTerminal::kind());
    }
    let sound = request.check();
    sound.map_err(|error| MachineError::Request(error.to_string()))?;
    let stdin: Box<dyn Read + Send> = match reads {
        true => Box::new(run::unbuffered(std::io::stdin())?),
        false => Box::new(std::io::empty()),
    };
    let io = Io {
        stdin,
        stdout: Box::new(run::unbuffered(std::io::stdout())?),
        stderr: Box::new(std::io::stderr()),
        console: None,
        terminal,
        volumes: Vec::new(),
        disks: Vec::new(),
    };
    let lease = up.lease(Wanted::default())?;
    let ended = cki_machine::run_in(
        lease,
        request,
        TimeLimit::NONE,
        io,
        run::forward_signals,
        || {},
    )?;
    if let Outcome::Failed(failure) = &ended.outcome {
        run::say(&failure.message);
    }
    if context.global.json && reads {
        Ending::of(&ended).write();
    }
    Ok(ended.outcome.status())
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    use super::*;

    #[test]
    fn the_options_of_exec_are_those_of_cki_exec() {
        let line = "cki-build exec -it --user nobody -w /tmp -e A=1 --ulimit nofile=9:10 --cap-drop ALL \
            --cap-add CHOWN web -- sh -c exit";
        let cli = Cli::try_parse_from(line.split_whitespace()).expect("valid");
        let Command::Exec(args) = cli.command else {
            panic!("not exec")
        };
        let mut process = Process::new(["sh"]);
        process.env = vec![("A".to_owned(), "1".to_owned())];
        assert_eq!(
            words(&args, &process).join(" "),
            "cki exec -i -t --user nobody --workdir /tmp --env A=1 --ulimit nofile=9:10 --cap-add CHOWN \
             --cap-drop ALL -- web sh -c exit"
        );
    }
}

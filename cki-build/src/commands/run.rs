// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build run`

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::Instant;

use crate::app::{self, App};
use crate::cli::{RunArgs, Runtime};
use crate::context::Context;
use crate::disks;
use crate::ending::Ending;
use crate::error::Error;
use crate::place;
use crate::prepare::{prepare, request, start_as};
use crate::volumes;
use cki_frontend::UserTerminal;
use cki_machine::{Ended, Io, MachineError, Signals, TimeLimit};
use cki_session::{
    FailureKind, Outcome, Signal, Status, Terminal, Volume, complain, forwarded_here,
};

/// Builds what is needed and runs the program with `stdin` as its input, or ours; signals to us are its own.
///
/// # Errors
/// [`Error`].
pub fn execute(
    context: &Context,
    args: &RunArgs,
    stdin: Option<Box<dyn Read + Send>>,
) -> Result<Ended, Error> {
    // Before anything is built.
    let terminal = args.program.process.terminal().map_err(Error::Terminal)?;
    let (disks, files) = disks::open(&args.disk)?;
    let (args, config) = &app::with_image(args)?;
    place::check(context, args)?;
    App::check(context, &args.contents)?;
    let size = || {
        terminal
            .as_ref()
            .map_or(Terminal::USUAL, UserTerminal::size)
    };
    let mut request = request(args, context.global.verbose, size)?;
    if let Some(config) = config {
        app::config(config).add_variables(&mut request);
        let sound = request.check();
        sound.map_err(|error| MachineError::Request(error.to_string()))?;
        if !context.global.quiet
            && !config.ports.is_empty()
            && args.network.options.publish.is_empty()
        {
            say(&format!(
                "the image says that its program listens on {}; -p publishes a port",
                config.ports.join(", ")
            ));
        }
    }
    let (mut machine, _) = prepare(context, args)?;
    machine.disks = disks;
    start_as(&machine, &mut request);
    // It may have been changed while something was built.
    request.process.terminal = terminal.as_ref().map(UserTerminal::size);
    // The processes of volumes end when this function does.
    let (lease, sockets, _processes) = match place::find(context, args, &machine)? {
        Some((lease, processes)) => {
            place::adapt(&mut request, &lease, args.name.as_ref())?;
            (Some(lease), Vec::new(), processes)
        }
        None => {
            let (sockets, processes) = volumes::start(&args.program.volume)?;
            machine.volumes = request.root.volumes.iter().map(Volume::port).collect();
            (None, sockets, processes)
        }
    };
    let (signal, grace) = args.program.stop();
    let time = TimeLimit {
        limit: args.timeout,
        signal,
        grace,
    };
    let io = Io {
        stdin: match stdin {
            Some(stdin) => stdin,
            None => Box::new(unbuffered(std::io::stdin())?),
        },
        stdout: Box::new(unbuffered(std::io::stdout())?),
        stderr: Box::new(std::io::stderr()),
        console: if machine.verbose {
            Some(Box::new(std::io::stderr()))
        } else {
            None
        },
        terminal,
        volumes: sockets,
        disks: files,
    };
    // Not before: a request that is refused has nothing to be isolated.
    if !context.global.quiet {
        no_isolation(args.runtime);
    }
    let what = match lease {
        Some(_) => "starting the container",
        None => "starting the machine",
    };
    let step = context.progress.short_step(what);
    let ready = || step.finish();
    let ended = match lease {
        Some(lease) => cki_machine::run_in(lease, request, time, io, forward_signals, ready),
        None => cki_machine::run(&machine, request, time, io, forward_signals, ready),
    }?;
    let times = ended.times;
    let since = |at: Option<Instant>| at.map(|at| at - times.start);
    tracing::debug!(
        hello = ?since(times.hello),
        started = ?since(times.started),
        first_byte = ?since(times.first_byte),
        end = ?(times.end - times.start),
        isolation = ?ended.isolation,
        "session"
    );
    explain(&ended.outcome, args);
    Ok(ended)
}

/// A stream of ours as it is: the standard library's would look for lines in what passes.
pub(super) fn unbuffered(stream: impl AsFd) -> Result<File, Error> {
    let stream = stream.as_fd().try_clone_to_owned();
    Ok(File::from(stream.map_err(Error::Streams)?))
}

/// Says what the status alone does not.
fn explain(outcome: &Outcome, args: &RunArgs) {
    let whose = match args.runtime {
        Runtime::Cki => "container",
        Runtime::Native | Runtime::Host => "machine",
    };
    let memory = args.memory.to_string();
    let Some(sentence) = outcome.explanation(whose, Some(&memory)) else {
        return;
    };
    if outcome.is_out_of_memory() {
        say(&format!("{sentence}; give it more with --memory"));
        return;
    }
    say(&sentence);
    match outcome {
        Outcome::Failed(failure)
            if failure.kind == FailureKind::NotFound && args.contents.is_minimal() =>
        {
            say("the image has what every Debian has; --deb PKG adds a package to it");
        }
        _ => {}
    }
}

pub(super) fn say(text: &str) {
    complain(&format!("cki-build: {text}"));
}

/// Says that a program has no container around it, if it has none.
fn no_isolation(runtime: Runtime) {
    match runtime {
        Runtime::Cki => {}
        Runtime::Native => say("isolation: none (native)"),
        Runtime::Host => {
            say("isolation: none (native); containers that it starts have their own (`cki info`)");
        }
    }
}

pub(super) fn run(context: &Context, args: &RunArgs) -> Result<Status, Error> {
    let ended = execute(context, args, None)?;
    if context.global.verbose && args.runtime == Runtime::Cki {
        if let Some(isolation) = ended.isolation {
            say(&format!("isolation: {isolation}"));
        }
    }
    if context.global.json {
        Ending::of(&ended).write();
    }
    Ok(ended.outcome.status())
}

/// Has signals to us go to the program instead.
pub(super) fn forward_signals(to: Signals) {
    let ours = forwarded_here().map(|signals| signals.into_iter().map(Signal::number));
    match ours.and_then(signal_hook::iterator::Signals::new) {
        Ok(mut ours) => {
            cki_process::interrupt::hand_over();
            std::thread::spawn(move || {
                for signal in ours.forever().filter_map(Signal::new) {
                    to.send(signal);
                }
            });
        }
        // The kernel takes the machine down with us all the same, only not before we are gone.
        Err(error) => tracing::warn!(%error, "signals are not handled"),
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build run`

use std::ffi::OsString;
use std::io::{Read, Write as _};
use std::time::{Duration, Instant};

use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Context, Error, inputs};
use crate::cli::{Run, Runtime};
use cki_machine::{Ended, HostImage, Interrupt, Io, Machine, Outcome, SessionError, tsc};
use cki_process::exit::Status;

/// Host name of the machine.
const HOST_NAME: &str = "cki";

/// How long the parts of the preparation took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Preparation {
    /// Emulator and host image.
    pub outputs: Duration,
    /// Resolving the packages.
    pub plan: Duration,
    /// The application image.
    pub image: Duration,
}

/// Builds whatever the machine needs.
///
/// # Errors
/// [`Error`].
pub fn prepare(context: &Context, args: &Run) -> Result<(Machine, Preparation), Error> {
    let (host, runtime) = args.host_kernel.attrs();
    let attrs = match args.runtime {
        Runtime::Cki if args.cpus > 1 => return Err(Error::Cpus(args.cpus)),
        Runtime::Cki | Runtime::Host => vec![host, "cki-qemu", runtime],
        Runtime::Native => vec![host, "cki-qemu"],
    };
    let start = Instant::now();
    let outputs = context.outputs(&attrs)?;
    let built = Instant::now();
    let plan = inputs::plan(context, &args.deb)?;
    let planned = Instant::now();
    let app = context.app_image(&plan)?;
    let preparation = Preparation {
        outputs: built - start,
        plan: planned - built,
        image: planned.elapsed(),
    };
    tracing::debug!(?preparation, "prepared");
    let host = HostImage::load(&outputs[host].out)?;
    let host_mib = host.host_mib;
    let mut machine = Machine::new(&outputs["cki-qemu"].out, host, app, args.memory, args.cpus);
    machine.tsc_khz = Some(tsc::frequency_khz());
    machine.loud = context.global.verbose;
    if let Some(runtime) = outputs.get(runtime) {
        machine.runtime = Some(runtime.out.join("runtime.erofs"));
    }
    if args.runtime == Runtime::Cki {
        machine.memory = args.memory.with(host_mib);
    }
    Ok((machine, preparation))
}

/// The request for init of `machine`.
///
/// # Errors
/// [`SessionError::Request`] when an argument is no UTF-8, which the protocol cannot carry.
pub fn request(args: &Run, machine: &Machine) -> Result<cki_session::Run, SessionError> {
    let text = |word: &OsString| {
        word.clone().into_string().map_err(|word| {
            SessionError::Request(format!("the argument {word:?} is not valid UTF-8"))
        })
    };
    let container = match args.runtime {
        Runtime::Native | Runtime::Host => None,
        Runtime::Cki => Some(cki_session::Container {
            memory_mib: args.memory.mib().into(),
            cmdline: machine.host.container_cmdline.clone(),
            console: machine.loud,
        }),
    };
    Ok(cki_session::Run {
        argv: args.command.iter().map(text).collect::<Result<_, _>>()?,
        env: args.env.clone(),
        cwd: args.workdir.clone(),
        hostname: HOST_NAME.to_owned(),
        container,
        pool_mib: (args.runtime == Runtime::Host).then(|| u64::from(args.memory.mib()) / 2),
    })
}

/// Builds what is needed and runs the program with `stdin` as its input; signals to us end it.
///
/// # Errors
/// [`Error`].
pub fn execute(context: &Context, args: &Run, stdin: Box<dyn Read + Send>) -> Result<Ended, Error> {
    let (machine, _) = prepare(context, args)?;
    let request = request(args, &machine)?;
    let io = Io {
        stdin,
        stdout: Box::new(std::io::stdout()),
        stderr: Box::new(std::io::stderr()),
        console: if machine.loud {
            Some(Box::new(std::io::stderr()))
        } else {
            None
        },
    };
    let step = context.progress.short_step("starting the machine");
    let ended = cki_machine::run(&machine, request, args.timeout, io, forward_signals, || {
        step.finish()
    })?;
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

/// Says what the status alone does not.
fn explain(outcome: &Outcome, args: &Run) {
    match outcome {
        Outcome::NotRun { message, .. } => say(message),
        Outcome::Signaled { oom: true, .. } => say(&format!(
            "the {} ran out of memory ({} MiB); give it more with --memory",
            match args.runtime {
                Runtime::Cki => "container",
                Runtime::Native | Runtime::Host => "machine",
            },
            args.memory.mib()
        )),
        Outcome::TimedOut => say("the time was over"),
        _ => {}
    }
}

fn say(text: &str) {
    // Nobody may be reading; the status says it too.
    let _ = writeln!(std::io::stderr(), "cki-build: {text}");
}

pub(super) fn run(context: &Context, args: &Run) -> Result<Status, Error> {
    if args.runtime != Runtime::Cki && !context.global.quiet {
        say("isolation: none (native)");
    }
    let ended = execute(context, args, Box::new(std::io::stdin()))?;
    if context.global.verbose && args.runtime == Runtime::Cki {
        if let Some(isolation) = ended.isolation {
            say(&format!("isolation: {isolation}"));
        }
    }
    Ok(ended.outcome.status())
}

/// Has Ctrl-C and its like end the session instead of us, who have a machine to take down first.
fn forward_signals(interrupt: Interrupt) {
    match Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        Ok(mut signals) => {
            std::thread::spawn(move || {
                for signal in signals.forever() {
                    interrupt.signal(signal);
                }
            });
        }
        // The kernel takes the machine down with us all the same, only not before we are gone.
        Err(error) => tracing::warn!(%error, "signals are not handled"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::HostKernel;
    use cki_machine::Board;
    use std::os::unix::ffi::OsStringExt as _;
    use std::path::Path;

    fn args(runtime: Runtime, command: Vec<OsString>) -> Run {
        Run {
            runtime,
            host_kernel: HostKernel::Cki,
            deb: Vec::new(),
            memory: cki_process::units::MemoryMib::new(512).expect("allowed"),
            cpus: 1,
            timeout: None,
            env: vec![("A".into(), "1".into())],
            workdir: "/root".into(),
            command,
        }
    }

    fn machine() -> Machine {
        let host = HostImage {
            kernel: "/h/vmlinux".into(),
            initrd: "/h/initrd".into(),
            cmdline: "quiet".into(),
            container_cmdline: "tsc=reliable".into(),
            board: Board::Microvm,
            host_mib: 192,
        };
        let memory = cki_process::units::MemoryMib::new(704).expect("allowed");
        Machine::new(Path::new("/q"), host, "/a.img".into(), memory, 1)
    }

    #[test]
    fn the_request_says_what_the_command_line_said() {
        let command = vec!["sh".into(), "-c".into(), "exit 7".into()];
        let request = request(&args(Runtime::Native, command), &machine()).expect("valid");
        assert_eq!(request.argv, ["sh", "-c", "exit 7"]);
        assert_eq!(request.env, [("A".to_owned(), "1".to_owned())]);
        assert_eq!(request.container, None);
    }

    #[test]
    fn a_container_gets_the_memory_that_was_asked_for() {
        let request = request(&args(Runtime::Cki, vec!["true".into()]), &machine()).expect("valid");
        assert_eq!(
            request.container,
            Some(cki_session::Container {
                memory_mib: 512,
                cmdline: "tsc=reliable".into(),
                console: false,
            })
        );
    }

    #[test]
    fn an_argument_that_the_protocol_cannot_carry_is_refused() {
        let word = OsString::from_vec(vec![b'a', 0xff]);
        let message = request(&args(Runtime::Cki, vec![word]), &machine())
            .expect_err("not UTF-8")
            .to_string();
        assert!(message.contains("UTF-8"), "{message}");
    }
}

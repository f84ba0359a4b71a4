//! `cki-build run`

use std::ffi::OsString;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Context, Error, inputs};
use crate::cli::{Run, Runtime};
use crate::exit::Status;
use crate::session::{self, HostImage, Interrupt, Io, Machine, Outcome, SessionError, tsc};

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
    match args.runtime {
        Runtime::Native => {}
    }
    let start = Instant::now();
    let outputs = context.outputs(&["cki-host", "cki-qemu"])?;
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
    let host = HostImage::load(&outputs["cki-host"].out)?;
    let mut machine = Machine::new(&outputs["cki-qemu"].out, host, app, args.memory, args.cpus);
    machine.tsc_khz = Some(tsc::frequency_khz());
    Ok((machine, preparation))
}

/// The request for init.
///
/// # Errors
/// [`SessionError::Request`] when an argument is no UTF-8, which the protocol cannot carry.
pub fn request(args: &Run) -> Result<cki_session::Run, SessionError> {
    let text = |word: &OsString| {
        word.clone().into_string().map_err(|word| {
            SessionError::Request(format!("the argument {word:?} is not valid UTF-8"))
        })
    };
    Ok(cki_session::Run {
        argv: args.command.iter().map(text).collect::<Result<_, _>>()?,
        env: args.env.clone(),
        cwd: args.workdir.clone(),
        hostname: HOST_NAME.to_owned(),
        container: None,
    })
}

pub(super) fn run(context: &Context, args: &Run) -> Result<Status, Error> {
    let request = request(args)?;
    let (mut machine, _) = prepare(context, args)?;
    machine.loud = context.global.verbose;
    let io = Io {
        stdin: Box::new(std::io::stdin()),
        stdout: Box::new(std::io::stdout()),
        stderr: Box::new(std::io::stderr()),
        console: if context.global.verbose {
            Some(Box::new(std::io::stderr()))
        } else {
            None
        },
    };
    let step = context.progress.short_step("starting the machine");
    let ended = session::run(&machine, request, args.timeout, io, forward_signals, || {
        step.finish()
    })?;
    let times = ended.times;
    let since = |at: Option<Instant>| at.map(|at| at - times.start);
    tracing::debug!(
        hello = ?since(times.hello),
        started = ?since(times.started),
        first_byte = ?since(times.first_byte),
        end = ?(times.end - times.start),
        "session"
    );
    // Nobody may be reading; the status says it too.
    let say = |text: &str| {
        let _ = writeln!(std::io::stderr(), "cki-build: {text}");
    };
    match &ended.outcome {
        Outcome::NotRun { message, .. } => say(message),
        Outcome::Signaled { oom: true, .. } => say(&format!(
            "the machine ran out of memory ({} MiB); give it more with --memory",
            args.memory.mib()
        )),
        Outcome::TimedOut => say("the time was over"),
        _ => {}
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
    use std::os::unix::ffi::OsStringExt as _;

    fn args(command: Vec<OsString>) -> Run {
        Run {
            runtime: Runtime::Native,
            deb: Vec::new(),
            memory: crate::units::MemoryMib::new(512).expect("allowed"),
            cpus: 1,
            timeout: None,
            env: vec![("A".into(), "1".into())],
            workdir: "/root".into(),
            command,
        }
    }

    #[test]
    fn the_request_says_what_the_command_line_said() {
        let request =
            request(&args(vec!["sh".into(), "-c".into(), "exit 7".into()])).expect("valid");
        assert_eq!(request.argv, ["sh", "-c", "exit 7"]);
        assert_eq!(request.env, [("A".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn an_argument_that_the_protocol_cannot_carry_is_refused() {
        let word = OsString::from_vec(vec![b'a', 0xff]);
        let message = request(&args(vec![word]))
            .expect_err("not UTF-8")
            .to_string();
        assert!(message.contains("UTF-8"), "{message}");
    }
}

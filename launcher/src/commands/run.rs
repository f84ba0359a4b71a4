// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki run`.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use cki_launcher::device::system::System;
use cki_launcher::device::uapi::Run as RunPage;
use cki_launcher::guest::load::{Boot, Input, load, read_kernel};
use cki_launcher::guest::{CHUNK, erofs};
use cki_launcher::run::console::GuestConsole;
use cki_launcher::run::machine::Machine;
use cki_launcher::run::outcome::{Outcome, SessionError};
use cki_launcher::run::seccomp;
use cki_launcher::run::session::{Io, Plan, Session, take_signals};
use cki_launcher::run::streams::{Outgoing, events};
use cki_launcher::status::{Status, Teller};
use cki_launcher::virtio::block::Block;
use cki_session::{APP_SERIAL, FailureKind, GuestMessage, Run};

use crate::cli::RunArgs;
use crate::sentence;

/// `cki run`; its exit status. How it ended is said to whoever started us, or on standard error.
pub fn run(device: &Path, args: &RunArgs) -> anyhow::Result<u8> {
    let mut status = Status::open(args.json_status_fd).context("--json-status-fd")?;
    match session(device, args, &mut status) {
        Ok(outcome) => {
            if !status.last(&outcome.message()) {
                explain(&outcome, args);
            }
            Ok(outcome.status())
        }
        Err(error) => {
            let failed = GuestMessage::Failed {
                message: sentence(&error),
                kind: kind(&error),
            };
            if status.last(&failed) {
                return Ok(Outcome::FAILURE);
            }
            Err(error)
        }
    }
}

/// Says what the status alone does not.
fn explain(outcome: &Outcome, args: &RunArgs) {
    match outcome {
        Outcome::Signaled { oom: true, .. } => eprintln!(
            "cki: the container ran out of memory (--memory {}M) and its kernel killed the program",
            args.memory >> 20
        ),
        Outcome::NotRun { message, .. } => eprintln!("cki: {message}"),
        Outcome::TimedOut => eprintln!("cki: the program's time is over"),
        Outcome::Exited(_)
        | Outcome::Signaled { .. }
        | Outcome::Interrupted { .. }
        | Outcome::BrokenPipe => {}
    }
}

/// What sort of failure an error is.
fn kind(error: &anyhow::Error) -> FailureKind {
    if error.is::<RootError>() {
        return FailureKind::Image;
    }
    error
        .downcast_ref::<SessionError>()
        .map_or(FailureKind::Internal, SessionError::kind)
}

/// The application image is no image, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("application image {}", .path.display())]
struct RootError {
    path: PathBuf,
    source: RootProblem,
}

#[derive(Debug, thiserror::Error)]
enum RootProblem {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Contents(#[from] erofs::ImageError),
}

/// Opens what a guest is made of. Without the flag, a FIFO would be waited for.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(file);
    }
    Err(io::Error::other("is no file"))
}

fn input(what: &str, path: &Path) -> anyhow::Result<Input> {
    let file = open(path).with_context(|| format!("{what} {}", path.display()))?;
    Ok(Input {
        path: path.to_owned(),
        file,
    })
}

/// The application image, judged as far as that is possible here.
fn root(path: &Path) -> Result<Block, RootError> {
    let judged = || -> Result<Block, RootProblem> {
        let mut file = open(path)?;
        // Unlike the length in the metadata, this is right for a block device too.
        let length = file.seek(SeekFrom::End(0))?;
        let mut start = vec![0; erofs::START.min(length as usize)];
        file.read_exact_at(&mut start, 0)?;
        erofs::check(&start, length)?;
        Ok(Block::new(file, APP_SERIAL)?)
    };
    judged().map_err(|source| RootError {
        path: path.to_owned(),
        source,
    })
}

fn duplicate(stream: impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

fn our_streams() -> io::Result<Io> {
    Ok(Io {
        stdin: duplicate(io::stdin())?,
        stdout: duplicate(io::stdout())?,
        stderr: duplicate(io::stderr())?,
    })
}

/// The guest kernel's command line; what the user adds comes last, and wins.
fn command_line(args: &RunArgs) -> String {
    // A panic is told by hypercall and must not be waited for; the rest is up to init.
    let mut words = vec!["panic=-1"];
    if !args.console {
        words.push("cki.mode=session");
    }
    if !args.console && !args.verbose {
        words.push("quiet");
    }
    if !args.cmdline.is_empty() {
        words.push(&args.cmdline);
    }
    words.join(" ")
}

fn plan(args: &RunArgs) -> Plan {
    Plan {
        run: (!args.console).then(|| Run {
            argv: args.argv.clone(),
            env: args.env.clone(),
            cwd: args.cwd.clone(),
            hostname: args.hostname.clone(),
            container: None,
            pool_mib: None,
        }),
        timeout: args.timeout,
        start_limit: args.start_timeout,
    }
}

/// Makes a container and runs it to its end.
fn session(device: &Path, args: &RunArgs, status: &mut Status) -> anyhow::Result<Outcome> {
    // First of all, and before any thread: all of them inherit the mask.
    let signals = take_signals().context("cannot wait for signals")?;
    let root = args.root.as_deref().map(root).transpose()?;
    let initrd = args.initrd.as_deref();
    let boot = Boot {
        kernel: input("guest kernel", &args.kernel)?,
        initrd: initrd
            .map(|path| input("initial ramdisk", path))
            .transpose()?,
        command_line: command_line(args),
        devices: 1 + u32::from(root.is_some()),
        pool: args.page_tables.map(|size| size.next_multiple_of(CHUNK)),
    };
    // What is wrong with the files is said before what is wrong with the machine.
    read_kernel(&boot.kernel)?;

    let memory = args.memory.next_multiple_of(CHUNK);
    let system = System::open(device)?;
    let isolation = system.info()?.isolation();
    let (container, vcpu) = system.create(memory, args.cpus)?;
    let (size, page) = (memory, vcpu.page());
    let monitor_pages = system.info()?.monitor_pages;
    let memory = load(&container, &boot)?;
    drop(boot);

    let io = our_streams().context("cannot duplicate the standard streams")?;
    let (events, inbox) = events().context("cannot make an eventfd")?;
    let outgoing = Outgoing::default();
    let ports = io
        .ports(&events, &outgoing)
        .context("cannot duplicate the standard streams")?;
    let copy = match (args.console, args.verbose) {
        (true, _) => Some(duplicate(io::stdout())?),
        (false, true) => Some(duplicate(io::stderr())?),
        (false, false) => None,
    };
    let console = GuestConsole::new(copy);
    let machine = Machine::new(Arc::new(container), memory, console, ports, root, events)?;
    let session = Session {
        machine: Arc::new(machine),
        vcpu: Box::new(vcpu),
        outgoing,
        inbox,
        signals,
        io,
    };
    let confine = || {
        if args.no_seccomp {
            return Ok(());
        }
        seccomp::apply().map_err(|error| SessionError::Host {
            what: "the launcher's own confinement",
            source: io::Error::other(error),
        })
    };
    let print = args.print_isolation || args.verbose;
    let mut teller = Teller::new(status, isolation, print);
    let outcome = session.run(plan(args), confine, &mut teller)?;
    if args.print_counts {
        eprintln!("{}", counts(&page.snapshot(), size, monitor_pages));
    }
    Ok(outcome)
}

/// What a container took. The monitor's pages are those of all containers; whoever measures runs one.
fn counts(page: &RunPage, memory: u64, monitor_pages: u32) -> serde_json::Value {
    serde_json::json!({
        "memory_bytes": memory,
        "monitor_bytes": u64::from(monitor_pages) << 12,
        "monitor_calls": page.monitor_calls,
        "monitor_returns": page.monitor_returns,
        "hypercalls": page.exits_hypercall,
        "interrupts": page.exits_interrupt,
        "idle_ns": page.idle_ns,
    })
}

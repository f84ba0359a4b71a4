//! What the commands do.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use cki_launcher::device::error::describe_missing;
use cki_launcher::device::system::System;
use cki_launcher::device::uapi::{Info, MODE_CKI, Run as RunPage};
use cki_launcher::guest::load::{Boot, Input, load, read_kernel};
use cki_launcher::guest::{CHUNK, erofs};
use cki_launcher::run::console::GuestConsole;
use cki_launcher::run::machine::Machine;
use cki_launcher::run::outcome::{Outcome, SessionError};
use cki_launcher::run::seccomp;
use cki_launcher::run::session::{Io, Plan, Session, take_signals};
use cki_launcher::run::streams::{Outgoing, events};
use cki_launcher::virtio::block::Block;
use cki_session::{APP_SERIAL, Run};
use clap::CommandFactory as _;

use crate::cli::{Cli, RunArgs};

/// The isolation of a mode that the module reports, for people and scripts.
fn isolation(info: &Info) -> &'static str {
    match info.mode {
        MODE_CKI => "full (cki)",
        _ => "none",
    }
}

/// `cki info`: status 0 if containers run here, 1 if not.
pub fn info(device: &Path, json: bool) -> anyhow::Result<u8> {
    let info = System::open(device)?.info()?;
    let runs = info.mode == MODE_CKI;
    let missing = if runs {
        String::new()
    } else {
        describe_missing(info.missing)
    };
    let mut out = io::stdout().lock();
    if json {
        let object = serde_json::json!({
            "isolation": isolation(&info),
            "runs": runs,
            "missing": missing,
            "abi_version": info.abi_version,
            "vcpus_max": info.vcpus_max,
            "pool_bytes": info.pool_size,
            "pool_free_bytes": info.pool_free,
            "containers": info.containers,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "isolation: {}", isolation(&info))?;
        if !runs {
            writeln!(out, "no container can run: {missing}")?;
        }
        let (size, free) = (info.pool_size >> 20, info.pool_free >> 20);
        writeln!(out, "memory pool: {size} MiB, {free} MiB free")?;
        writeln!(out, "containers: {}", info.containers)?;
    }
    Ok(u8::from(!runs))
}

/// `cki completions`.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cki", &mut script);
    io::stdout().write_all(&script)?;
    Ok(0)
}

/// `cki man`.
pub fn man(out: &Path) -> anyhow::Result<u8> {
    std::fs::create_dir_all(out)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), out))
        .with_context(|| format!("cannot write manual pages to {}", out.display()))?;
    Ok(0)
}

fn open(what: &str, path: &Path) -> anyhow::Result<Input> {
    let failed = || format!("{what} {}", path.display());
    let file = File::open(path).with_context(failed)?;
    let kind = file.metadata().with_context(failed)?.file_type();
    anyhow::ensure!(
        kind.is_file() || kind.is_block_device(),
        "{} is no file",
        failed()
    );
    Ok(Input {
        path: path.to_owned(),
        file,
    })
}

/// The application image, judged as far as that is possible here.
fn open_root(path: &Path) -> anyhow::Result<Block> {
    let input = open("application image", path)?;
    let failed = || format!("application image {}", path.display());
    // Unlike the length in the metadata, this is right for a block device too.
    let length = (&input.file).seek(SeekFrom::End(0)).with_context(failed)?;
    let mut start = vec![0; erofs::START.min(length as usize)];
    input
        .file
        .read_exact_at(&mut start, 0)
        .with_context(failed)?;
    erofs::check(&start, length).with_context(failed)?;
    Block::new(input.file, APP_SERIAL).with_context(failed)
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

/// `cki run`.
pub fn run(device: &Path, args: RunArgs) -> anyhow::Result<u8> {
    // Before any thread: all of them inherit the mask.
    let signals = take_signals().context("cannot wait for signals")?;
    let root = args.root.as_deref().map(open_root).transpose()?;
    let boot = Boot {
        kernel: open("guest kernel", &args.kernel)?,
        initrd: args
            .initrd
            .as_deref()
            .map(|path| open("initial ramdisk", path))
            .transpose()?,
        command_line: command_line(&args),
        devices: 1 + u32::from(root.is_some()),
        pool: args.page_tables.map(|size| size.next_multiple_of(CHUNK)),
    };
    // What is wrong with the files is said before what is wrong with the machine.
    read_kernel(&boot.kernel)?;

    let system = System::open(device)?;
    let info = system.info()?;
    let memory = args.memory.next_multiple_of(CHUNK);
    let (container, vcpu) = system.create(memory, args.cpus)?;
    let page = vcpu.page();
    let monitor_pages = system.info()?.monitor_pages;
    let size = memory;
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
    let machine = Machine::new(
        Arc::new(container),
        memory,
        GuestConsole::new(copy),
        ports,
        root,
        events,
    )?;
    let session = Session {
        machine: Arc::new(machine),
        vcpu: Box::new(vcpu),
        outgoing,
        inbox,
        signals,
        io,
    };
    let plan = Plan {
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
    let ready = || {
        if args.print_isolation || args.verbose {
            eprintln!("isolation: {}", isolation(&info));
        }
    };
    let outcome = session.run(plan, confine, ready)?;
    explain(&outcome, &args);
    if args.print_counts {
        eprintln!("{}", counts(&page.snapshot(), size, monitor_pages));
    }
    Ok(outcome.status())
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
        | Outcome::Interrupted(_)
        | Outcome::BrokenPipe => {}
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki run`.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use cki_abi::uapi::run::RunPage;
use cki_disk::DiskFileError;
use cki_frontend::{ImageConfig, UserTerminal};
use cki_launcher::backend::file::RawFile;
use cki_launcher::backend::network::CardError;
use cki_launcher::backend::unix_sockets::listener;
use cki_launcher::container_names::{self, ContainerNames, HeldName, NameError, State};
use cki_launcher::counts::{Counts, of_vcpu};
use cki_launcher::guest::load::{Boot, Input, load, read_kernel};
use cki_launcher::guest::{CHUNK, erofs};
use cki_launcher::jail::rights::Rights;
use cki_launcher::jail::{self, Confine};
use cki_launcher::module::isolation;
use cki_launcher::module::real::{System, SystemVcpu};
use cki_launcher::service_manager::ServiceManager;
use cki_launcher::session::Session;
use cki_launcher::session::caller::Caller;
use cki_launcher::session::client::Client;
use cki_launcher::session::control::{Inbox, Requests};
use cki_launcher::session::descriptor::{Descriptor, Service};
use cki_launcher::session::error::ContainerError;
use cki_launcher::session::observer::Observer;
use cki_launcher::session::plan::Plan;
use cki_launcher::session::streams::{Streams, duplicate};
use cki_launcher::virtio::block::Block;
use cki_launcher::vm::Waker;
use cki_launcher::vm::outside::Outside;
use cki_launcher::vm::table::Table;
use cki_session::cmdline::Mode;
use cki_session::{
    APP_SERIAL, Container, Event, Failure, FailureKind, Isolation, Outcome, Run, Signal, Status,
    Terminal, complain,
};
use cki_volume::sandbox;

use super::{devices, disks, explain};
use crate::cli::RunArgs;
use crate::sentence::sentence;

/// `cki run`; its exit status. How it ended is said to whoever asked: on the descriptor, or on standard error.
pub fn run(device: &Path, args: &RunArgs) -> anyhow::Result<Status> {
    // First of all: what is opened from now on is ours.
    let named = args.volume_fd.iter().chain(&args.disk_fd);
    let named = named.map(|(_, number)| *number);
    let mut named: Vec<_> = named.chain(args.session_fd).collect();
    named.sort_unstable();
    // A disk has one writer, and what is written to a stream one reader.
    if let Some(pair) = named.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!(
            "descriptor {} is named twice; each thing has its own",
            pair[0]
        );
    }
    sandbox::close_all_but(&named).context("cannot close what whoever started cki has open")?;
    let Some(number) = args.session_fd else {
        return for_user(device, args);
    };
    let mut client = Descriptor::open(number, Service::Run).context("--session-fd")?;
    let outcome = match client.wait_for_run() {
        Ok((container, run)) => {
            // `cki kill` knows this process by that name.
            let passed_on = match container.name {
                Some(_) => client.pass_signals_on(),
                None => Ok(()),
            };
            let wanted = Wanted::by(container, run);
            passed_on
                .context("cannot wait for signals")
                .and_then(|()| session(device, args, wanted, &mut client))
                .unwrap_or_else(|error| {
                    Outcome::Failed(Failure::new(kind(&error), sentence(&error)))
                })
        }
        Err(failure) => Outcome::Failed(failure),
    };
    if !client.end(&outcome) {
        explain(&outcome, None);
    }
    Ok(outcome.status())
}

/// A container, and what runs in it.
struct Wanted {
    container: Container,
    /// Its virtual processors, of which no request says yet how many.
    cpus: u32,
    /// The request for its init; without one, it is the kernel's console that is wanted.
    run: Option<Run>,
    /// How long the program may run.
    timeout: Option<Duration>,
    /// What it gets when that is over, and how long it may run on.
    stop: (Signal, Duration),
}

impl Wanted {
    /// What the options say, for a program with a terminal of this size if it is to have one.
    fn of(args: &RunArgs, terminal: Terminal) -> anyhow::Result<Self> {
        let (mut program, mut argv) = (args.program.clone(), args.argv.clone());
        let config = args.image_config.as_deref().map(ImageConfig::read);
        let config = config.transpose()?;
        if let Some(config) = &config {
            config.complete(&mut program, &mut argv)?;
        }
        let mut run = program.request(argv, || terminal)?;
        if let Some(config) = &config {
            config.add_variables(&mut run);
        }
        Ok(Wanted {
            container: Container {
                memory: args.memory,
                cmdline: args.cmdline.clone(),
                verbose: args.verbose,
                network: args.network.wanted()?,
                name: args.name.clone(),
                disks: disks::wanted(&args.disk),
                page_tables: args.page_tables,
            },
            cpus: args.cpus,
            run: (!args.console).then_some(run),
            timeout: args.timeout,
            stop: program.stop(),
        })
    }

    /// What a client asks for. It keeps the program's time itself.
    fn by(container: Container, run: Run) -> Self {
        Wanted {
            container,
            cpus: 1,
            run: Some(run),
            timeout: None,
            stop: (Signal::TERM, Duration::ZERO),
        }
    }
}

/// The options are the request, and the user is told on standard error.
fn for_user(device: &Path, args: &RunArgs) -> anyhow::Result<Status> {
    // Before any thread: all of them inherit the mask.
    let print = args.print_isolation || args.verbose;
    let terminal = args.program.process.terminal();
    let terminal = terminal.context("cannot use the terminal")?;
    let size = terminal
        .as_ref()
        .map_or(Terminal::USUAL, UserTerminal::size);
    let wanted = Wanted::of(args, size)?;
    let mut client = Caller::new(print, terminal).context("cannot wait for signals")?;
    client.tells(ServiceManager::of_environment()?);
    wanted.container.check()?;
    if let Some(run) = &wanted.run {
        run.check()?;
    }
    let outcome = session(device, args, wanted, &mut client)?;
    // The terminal is as it was before anything is written to it.
    drop(client);
    explain(&outcome, Some(args.memory));
    Ok(outcome.status())
}

/// What sort of failure an error is.
fn kind(error: &anyhow::Error) -> FailureKind {
    if error.is::<RootImageError>() {
        return FailureKind::Image;
    }
    if error.is::<CardError>() || error.is::<DiskFileError>() {
        return FailureKind::Request;
    }
    if let Some(error) = error.downcast_ref::<NameError>() {
        return error.kind();
    }
    error
        .downcast_ref::<ContainerError>()
        .map_or(FailureKind::Internal, ContainerError::kind)
}

/// The application image is no image, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("application image {}", .path.display())]
struct RootImageError {
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
fn root(path: &Path) -> Result<Block, RootImageError> {
    let judged = || -> Result<Block, RootProblem> {
        let mut file = open(path)?;
        // Unlike the length in the metadata, this is right for a block device too.
        let length = file.seek(SeekFrom::End(0))?;
        let mut start = vec![0; erofs::START.min(length as usize)];
        file.read_exact_at(&mut start, 0)?;
        erofs::check(&start, length)?;
        Ok(Block::new(Box::new(RawFile::new(file, true)?), APP_SERIAL))
    };
    judged().map_err(|source| RootImageError {
        path: path.to_owned(),
        source,
    })
}

/// The guest kernel's command line; what the user adds comes last, and wins.
fn cmdline(wanted: &Wanted) -> String {
    // A panic is told by hypercall and must not be waited for; the rest is up to init.
    let mut words = vec!["panic=-1".to_owned()];
    if wanted.run.is_some() {
        words.push(Mode::Session.to_string());
        if !wanted.container.verbose {
            words.push("quiet".to_owned());
        }
    }
    if !wanted.container.cmdline.is_empty() {
        words.push(wanted.container.cmdline.clone());
    }
    words.join(" ")
}

/// The container's name, if it is to have one.
fn take_name(wanted: &Wanted) -> anyhow::Result<Option<HeldName>> {
    let (Some(name), Some(run)) = (&wanted.container.name, &wanted.run) else {
        return Ok(None);
    };
    let pid = std::process::id() as i32;
    let state = State {
        name: name.clone(),
        pid,
        started: container_names::start_time(pid).context("cannot see this process in /proc")?,
        memory: wanted.container.memory,
        process: run.process.clone(),
    };
    Ok(Some(ContainerNames::default().take(&state)?))
}

/// What the guest's memory is filled with.
fn boot(args: &RunArgs, wanted: &Wanted, devices: u32) -> anyhow::Result<Boot> {
    let initrd = args.initrd.as_deref();
    let boot = Boot {
        kernel: input("guest kernel", &args.kernel)?,
        initrd: initrd
            .map(|path| input("initial ramdisk", path))
            .transpose()?,
        cmdline: cmdline(wanted),
        devices,
        page_tables: wanted
            .container
            .page_tables
            .map(|size| size.bytes().next_multiple_of(CHUNK)),
    };
    // What is wrong with the files is said before what is wrong with the machine.
    read_kernel(&boot.kernel)?;
    Ok(boot)
}

/// A container that is loaded, and does not run yet.
struct Loaded {
    outside: Arc<Outside>,
    vcpu: SystemVcpu,
    isolation: Isolation,
    /// Bytes of its memory.
    size: u64,
    /// Those of all containers, once this one was there.
    monitor_pages: u32,
}

impl Loaded {
    /// Has the module make it.
    fn by(
        system: &System,
        wanted: &Wanted,
        boot: Boot,
        devices: Table,
        waker: Waker,
    ) -> anyhow::Result<Self> {
        let size = wanted.container.memory.bytes().next_multiple_of(CHUNK);
        let isolation = isolation(&system.info()?);
        let (container, vcpu) = system.create(size, wanted.cpus)?;
        let monitor_pages = system.info()?.monitor_pages;
        devices.attach(&container)?;
        let memory = load(&container, &boot)?;
        drop(boot);
        let copy = match (&wanted.run, wanted.container.verbose) {
            (None, _) => Some(duplicate(&io::stdout())?),
            (Some(_), true) => Some(duplicate(&io::stderr())?),
            (Some(_), false) => None,
        };
        let outside = Outside::new(Arc::new(container), memory, copy, devices, waker);
        Ok(Loaded {
            outside: Arc::new(outside),
            vcpu,
            isolation,
            size,
            monitor_pages,
        })
    }

    /// Who is told its counts on the connections that `listener` takes.
    fn observer(&self, listener: UnixListener) -> Observer {
        let (page, outside) = (self.vcpu.page(), Arc::clone(&self.outside));
        Observer::new(listener, move || Counts {
            vcpus: vec![of_vcpu(&page.read())],
            devices: outside.devices().counts(),
        })
    }
}

/// Makes a container and runs it to its end.
fn session(
    device: &Path,
    args: &RunArgs,
    mut wanted: Wanted,
    client: &mut dyn Client,
) -> anyhow::Result<Outcome> {
    let mut rights = Rights::ours(args.jail_user)?;
    let root = args.image.as_deref().map(root).transpose()?;
    let our_streams = "cannot duplicate the standard streams";
    let streams = Streams::ours().context(our_streams)?;
    let written = Arc::new(AtomicU64::new(0));
    let waker = Waker::new().context("cannot make an eventfd")?;
    let (inbox, requests) = (Inbox::new(waker.clone()), Requests::default());
    let ports = streams
        .ports(&inbox, &requests, &written)
        .context(our_streams)?;
    let mut table = Table::new(ports)?;
    devices::add_disks(&mut table, args, root, &wanted.container.disks)?;
    devices::add_entropy(&mut table)?;
    devices::add_volumes(&mut table, args, wanted.run.as_ref())?;
    let interface = devices::add_card(&mut table, wanted.container.network.as_ref())?;
    if let Some(run) = &mut wanted.run {
        run.interface = interface;
    }
    // Held until the container has ended.
    let held = take_name(&wanted)?;
    let stats = held.as_ref().map(|held| listener(&held.stats()));
    let stats = stats.transpose()?;
    devices::add_sockets(&mut table, args, held.as_ref(), &mut rights)?;
    let boot = boot(args, &wanted, table.len())?;
    let system = System::open(device)?;
    let loaded = Loaded::by(&system, &wanted, boot, table, waker)?;

    let observer = stats.map(|listener| loaded.observer(listener));
    let (page, size, monitor_pages) = (loaded.vcpu.page(), loaded.size, loaded.monitor_pages);
    let plan = Plan {
        run: wanted.run,
        isolation: loaded.isolation,
        timeout: wanted.timeout,
        stop: wanted.stop,
        start_timeout: args.start_timeout,
    };
    let session = Session {
        outside: loaded.outside,
        vcpu: Box::new(loaded.vcpu),
        requests,
        inbox,
        streams,
        observer,
    };
    let confine: Confine = match args.no_seccomp {
        true => |_| Ok(()),
        false => |duty| jail::confine(duty).map_err(io::Error::other),
    };
    let id = plan.run.as_ref().map(|run| run.id);
    // All files are open, and no thread has been started.
    rights.give_up()?;
    let outcome = session.run(plan, confine, client);
    if let Some(id) = id {
        let stdout = written.load(Ordering::Relaxed);
        // Also when it ends badly: who does not hear how much there is takes it for nothing. Standard error goes by way
        // of whoever started us, who counts it.
        client.tell(&Event::Output {
            id,
            stdout,
            stderr: 0,
        });
    }
    if args.print_counts {
        complain(&counts(&page.read(), size, monitor_pages).to_string());
    }
    Ok(outcome?)
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn a_name_that_somebody_has_is_the_fault_of_the_request() {
        let taken = NameError::Taken("box".parse().unwrap());
        assert_eq!(kind(&taken.into()), FailureKind::Request);
    }

    #[test]
    fn the_image_says_what_the_options_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.json");
        let config = ImageConfig {
            entrypoint: vec!["server".to_owned()],
            cmd: vec!["--all".to_owned()],
            env: vec![("A".to_owned(), "image".to_owned())],
            user: Some("daemon".to_owned()),
            workdir: Some("/srv".to_owned()),
            ..ImageConfig::default()
        };
        std::fs::write(&file, serde_json::to_vec(&config).unwrap()).unwrap();
        let run = |rest: &str| {
            let file = file.display();
            let line = format!("cki run --kernel k --image r --image-config {file} {rest}");
            let Command::Run(args) = Cli::try_parse_from(line.split_whitespace())
                .unwrap()
                .command
            else {
                panic!("not run")
            };
            let wanted = Wanted::of(&args, Terminal::USUAL).unwrap();
            wanted.run.unwrap().process
        };
        let process = run("");
        assert_eq!(process.argv, ["server", "--all"]);
        assert_eq!(process.env, [("A".to_owned(), "image".to_owned())]);
        assert_eq!(process.workdir.as_deref(), Some("/srv"));
        let user = process.user.map(|user| user.to_string());
        assert_eq!(user.as_deref(), Some("daemon"));
        let process = run("--env A=mine --workdir / --entrypoint sh -- -l");
        assert_eq!(process.argv, ["sh", "-l"]);
        assert_eq!(
            process.env.last(),
            Some(&("A".to_owned(), "mine".to_owned()))
        );
        assert_eq!(process.workdir.as_deref(), Some("/"));
    }
}
